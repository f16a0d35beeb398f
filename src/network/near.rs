//! Stops around a position: a grid over degrees, and distances on a sphere.

use std::f64::consts::PI;

use super::model::Stop;
use crate::domain::limits::RADIUS_METRES_MAX;

/// Mean radius of the earth in metres (IUGG).
const EARTH_METRES: f64 = 6_371_008.8;
/// Cells per degree: a cell is about 1.1 km high, and 0.7 km wide in the Netherlands.
const CELLS_PER_DEGREE: f64 = 100.0;

/// A stop and how far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearStop<'a> {
    /// The stop.
    pub stop: &'a Stop,
    /// Metres, rounded.
    pub distance_metres: u32,
}

/// Stops by cell of the grid: row, column and place among the stops, in order.
pub(super) struct Grid(Vec<(i32, i32, u32)>);

impl Grid {
    pub(super) fn build(stops: &[Stop]) -> Self {
        let mut cells: Vec<_> = (0..)
            .zip(stops)
            .map(|(place, stop)| (cell(stop.latitude), cell(stop.longitude), place))
            .collect();
        cells.sort_unstable();
        Self(cells)
    }

    /// The stops within a radius (cut to the largest allowed), nearest first, then in order
    /// of code. `stops` are those that the grid was built from. A position that is no number
    /// has none.
    pub(super) fn within<'a>(
        &self,
        stops: &'a [Stop],
        latitude: f64,
        longitude: f64,
        radius_metres: u32,
    ) -> Vec<NearStop<'a>> {
        if !(latitude.is_finite() && longitude.is_finite()) {
            return Vec::new();
        }
        let radius = f64::from(radius_metres.min(RADIUS_METRES_MAX));
        let height = radius / EARTH_METRES * 180.0 / PI;
        let narrowest = (latitude.abs() + height).min(90.0).to_radians().cos();
        let width = (height / narrowest.max(1e-9)).min(180.0);
        let mut near: Vec<_> = (cell(latitude - height)..=cell(latitude + height))
            .flat_map(|row| self.row(row, longitude - width, longitude + width))
            .map(|place| &stops[place])
            .map(|stop| {
                let metres = distance(latitude, longitude, stop.latitude, stop.longitude);
                (metres, stop)
            })
            .filter(|(metres, _)| *metres <= radius)
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
        near.into_iter()
            .map(|(metres, stop)| NearStop {
                stop,
                distance_metres: whole_metres(metres),
            })
            .collect()
    }

    fn row(&self, row: i32, west: f64, east: f64) -> impl Iterator<Item = usize> {
        let first = self
            .0
            .partition_point(|entry| (entry.0, entry.1) < (row, cell(west)));
        let end = self
            .0
            .partition_point(|entry| (entry.0, entry.1) <= (row, cell(east)));
        // At infinite widths the first may lie after the end.
        self.0[first..end.max(first)]
            .iter()
            .map(|entry| entry.2 as usize)
    }
}

/// Metres between two positions along a great circle (haversine formula).
pub(super) fn distance(latitude: f64, longitude: f64, to_latitude: f64, to_longitude: f64) -> f64 {
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let cosines = latitude.to_radians().cos() * to_latitude.to_radians().cos();
    let square = half(latitude, to_latitude) + cosines * half(longitude, to_longitude);
    2.0 * EARTH_METRES * square.clamp(0.0, 1.0).sqrt().asin()
}

/// The row or column in which so many degrees lie.
#[expect(
    clippy::cast_possible_truncation,
    reason = "saturates, which only makes far cells share a number"
)]
fn cell(degrees: f64) -> i32 {
    (degrees * CELLS_PER_DEGREE).floor() as i32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and half the way round the earth is 20 million metres"
)]
fn whole_metres(metres: f64) -> u32 {
    metres.round() as u32
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::network::Network;

    static NETWORK: LazyLock<Network> = LazyLock::new(Network::built_in);

    #[test]
    fn nearest_stops_come_first_and_far_ones_not_at_all() {
        let network = &*NETWORK;
        let near = network.nearby(52.3640, 4.8820, 500, 10);
        assert_eq!(&*near[0].stop.name, "Leidseplein");
        assert!(near.is_sorted_by_key(|found| found.distance_metres));
        assert!(near.iter().all(|found| found.distance_metres <= 500));
        assert!(network.nearby(52.3640, 4.8830, 500, 2).len() == 2);
        assert!(network.nearby(0.0, 0.0, 5_000, 10).is_empty());
        assert!(network.nearby(f64::NAN, 4.9, 500, 10).is_empty());
    }

    #[test]
    fn distance_is_that_of_the_sphere() {
        // A degree of a great circle.
        let degree = EARTH_METRES * PI / 180.0;
        assert!((distance(0.0, 0.0, 0.0, 1.0) - degree).abs() < 1e-3);
        assert!((distance(52.0, 4.0, 53.0, 4.0) - degree).abs() < 1e-3);
        assert!((distance(0.0, -179.5, 0.0, 179.5) - degree).abs() < 1e-3);
    }

    proptest! {
        #[test]
        fn grid_finds_what_a_look_at_all_stops_finds(
            latitude in 51.8_f64..52.5,
            longitude in 4.2_f64..5.1,
            radius in 1_u32..5_000,
        ) {
            let found = NETWORK.nearby(latitude, longitude, radius, usize::MAX).len();
            let metres = |stop: &Stop| {
                distance(latitude, longitude, stop.latitude, stop.longitude)
            };
            let all = NETWORK.all_stops().iter();
            prop_assert_eq!(found, all.filter(|stop| metres(stop) <= f64::from(radius)).count());
        }

        #[test]
        fn any_position_has_an_answer(latitude: f64, longitude: f64, radius: u32) {
            NETWORK.nearby(latitude, longitude, radius, 5);
        }
    }
}
