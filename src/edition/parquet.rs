//! Tables of editions as Parquet: the columns of the other downloads with their types, a row
//! group for each edition, and where the figures come from in the file's own metadata.
//!
//! Nothing is compressed but by dictionaries, so that whatever reads Parquet reads this. The
//! same editions give the same bytes.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{
    SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter,
};
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

use super::columns::{self, Column, Kind};
use super::download::Selection;
use super::format::{Edition, LICENCE};

const WRITER: &str = "mistap";
const TABLE: &str = "figures";
/// Of a value that is there, in a column that may lack it.
const PRESENT: i16 = 1;

/// A table that is being written, in memory.
pub struct Table(SerializedFileWriter<Vec<u8>>);

impl Table {
    /// One without rows, which says whose figures it has.
    pub fn new(citation: &str) -> Result<Self, ParquetError> {
        let told = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
        let about = vec![told("citation", citation), told("licence", LICENCE)];
        let properties = WriterProperties::builder()
            .set_created_by(WRITER.to_owned())
            .set_key_value_metadata(Some(about))
            .build();
        let writer = SerializedFileWriter::new(Vec::new(), schema()?, Arc::new(properties))?;
        Ok(Self(writer))
    }

    /// Adds the rows of an edition that are asked for, as a row group of their own.
    pub fn push(&mut self, edition: &Edition, selection: &Selection) -> Result<(), ParquetError> {
        let rows: Vec<_> = edition
            .rows
            .iter()
            .filter(|row| selection.has(row))
            .map(|row| columns::values(row, &edition.month, edition.method))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.0.next_row_group()?;
        for (at, column) in columns::all().iter().enumerate() {
            let values: Vec<_> = rows.iter().map(|row| &row[at]).collect();
            write(&mut group, column.kind, &values)?;
        }
        group.close()?;
        Ok(())
    }

    /// The whole file.
    pub fn finish(self) -> Result<Vec<u8>, ParquetError> {
        self.0.into_inner()
    }
}

fn schema() -> Result<TypePtr, ParquetError> {
    let fields = columns::all().iter().map(field);
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder(TABLE).with_fields(fields).build();
    Ok(Arc::new(schema?))
}

fn field(column: &Column) -> Result<TypePtr, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::String => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Uint32 => (Physical::INT32, Some(LogicalType::integer(32, false))),
        Kind::Uint64 => (Physical::INT64, Some(LogicalType::integer(64, false))),
        Kind::Double => (Physical::DOUBLE, None),
    };
    let field = Type::primitive_type_builder(column.name, physical)
        .with_logical_type(logical)
        .with_repetition(Repetition::OPTIONAL)
        .build();
    Ok(Arc::new(field?))
}

/// Writes the next column of a row group.
fn write(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    kind: Kind,
    values: &[&Value],
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("a column is not in the schema".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    match kind {
        Kind::String => {
            let text = |value: &Value| value.as_str().map(ByteArray::from);
            fill::<ByteArrayType>(&mut column, values, text)?;
        }
        // Parquet has the bits of a number without sign in one with it.
        Kind::Uint32 => {
            let number = |value: &Value| value.as_u64().and_then(|value| u32::try_from(value).ok());
            fill::<Int32Type>(&mut column, values, |value| {
                number(value).map(u32::cast_signed)
            })?;
        }
        Kind::Uint64 => {
            fill::<Int64Type>(&mut column, values, |value| {
                value.as_u64().map(u64::cast_signed)
            })?;
        }
        Kind::Double => fill::<DoubleType>(&mut column, values, Value::as_f64)?,
    }
    column.close()
}

/// Writes the values that are there, and which those are.
fn fill<T: parquet::data_type::DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: &[&Value],
    read: impl Fn(&Value) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let read: Vec<_> = values.iter().map(|value| read(value)).collect();
    let levels: Vec<_> = read
        .iter()
        .map(|value| if value.is_some() { PRESENT } else { 0 })
        .collect();
    let present: Vec<_> = read.into_iter().flatten().collect();
    column
        .typed::<T>()
        .write_batch(&present, Some(&levels), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::{Field, Row};

    use super::*;
    use crate::edition::download::{csv_rows, tests::held};

    fn table(times: usize) -> Vec<u8> {
        let selection = Selection::parse("gvb", "line").expect("known");
        let mut table = Table::new("whose figures").expect("a schema");
        for _ in 0..times {
            table.push(&held().edition, &selection).expect("memory");
        }
        table.finish().expect("memory")
    }

    #[test]
    fn parquet_has_the_rows_types_and_source_of_the_other_downloads() {
        let bytes = table(2);
        assert_eq!(bytes, table(2), "the same bytes each time");
        let reader = SerializedFileReader::new(Bytes::from(bytes)).expect("Parquet");
        let about = reader.metadata().file_metadata();
        let told = about.key_value_metadata().expect("metadata");
        let citation = told.iter().find(|told| told.key == "citation");
        let citation = citation.and_then(|told| told.value.as_deref());
        assert_eq!(citation, Some("whose figures"));
        assert_eq!(reader.metadata().num_row_groups(), 2);

        let rows = reader.get_row_iter(None).expect("rows");
        let rows: Vec<_> = rows.map(|row| row.expect("a row")).collect();
        let selection = Selection::parse("gvb", "line").expect("known");
        let lines = csv_rows(&held(), &selection);
        let lines = String::from_utf8(lines).expect("text").lines().count();
        assert_eq!(rows.len(), 2 * lines);
        let text = |text: &str| Field::Str(text.to_owned());
        assert_eq!(value(&rows[0], "key"), text("GVB:10"));
        assert_eq!(value(&rows[0], "count"), Field::ULong(20));
        assert_eq!(value(&rows[0], "edition"), text("2026-10"));
        assert_eq!(value(&rows[0], "taps"), Field::Null, "nothing, never zero");
        let formula = text("=cmd,\"x\"");
        assert_eq!(value(&rows[1], "key"), formula, "types need no quoting");
        assert_eq!(rows[0], rows[2]);
        assert_eq!(rows[0].len(), columns::all().len());
    }

    fn value(row: &Row, name: &str) -> Field {
        let mut columns = row.get_column_iter();
        let found = columns.find(|(column, _)| *column == name);
        found.expect("a column").1.clone()
    }

    #[test]
    fn without_rows_it_is_a_table_still() {
        let reader = SerializedFileReader::new(Bytes::from(table(0))).expect("Parquet");
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }
}
