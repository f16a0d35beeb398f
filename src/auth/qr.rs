//! A receipt as a QR code, to be scanned from paper.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

/// Smallest width and height of the picture, in pixels.
const PIXELS_MIN: u32 = 320;

/// An SVG picture of a text; `None` if no QR code can hold it (some 2,900 bytes).
pub fn svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let drawn = code
        .render::<svg::Color<'_>>()
        .min_dimensions(PIXELS_MIN, PIXELS_MIN)
        .build();
    // Without the declaration it can stand in a page as well.
    let start = drawn.find("<svg")?;
    Some(drawn[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_picture_unless_it_is_too_long() {
        let drawn = svg("eyJhbGciOiJFZERTQSJ9.e30.AAAA").expect("short");
        assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>"));
        assert_eq!(svg(&"x".repeat(3_000)), None);
    }
}
