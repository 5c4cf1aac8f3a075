//! The catalogue as Flight SQL shows it: what this server is, its tables, its types. Schemas of the
//! answers are those of `FlightSql.proto` (Apache Arrow).

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{
    SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables, Nullable,
    Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction,
    XdbcDataType, XdbcDatetimeSubcode,
};
use loglake_query::{Relation, RelationKind};

use crate::plain_types::plain_schema;

/// The one catalogue.
pub(crate) const CATALOG: &str = "loglake";

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

pub(crate) fn catalogs(query: CommandGetCatalogs) -> Result<RecordBatch, FlightError> {
    let mut builder = query.into_builder();
    builder.append(CATALOG);
    builder.build()
}

pub(crate) fn schemas(
    query: CommandGetDbSchemas,
    relations: &[Relation],
) -> Result<RecordBatch, FlightError> {
    let mut builder = query.into_builder();
    let names: BTreeSet<&str> = relations.iter().map(|r| r.schema.as_str()).collect();
    for schema in names {
        builder.append(CATALOG, schema);
    }
    builder.build()
}

pub(crate) fn tables(
    query: CommandGetTables,
    relations: &[Relation],
) -> Result<RecordBatch, FlightError> {
    let mut builder = query.into_builder();
    for relation in relations {
        let kind = match relation.kind {
            RelationKind::Table => TABLE,
            RelationKind::View => VIEW,
        };
        let columns = plain_schema(&relation.columns);
        builder.append(CATALOG, &relation.schema, &relation.name, kind, &columns)?;
    }
    builder.build()
}

pub(crate) fn table_types(query: CommandGetTableTypes) -> Result<RecordBatch, FlightError> {
    let mut builder = query.into_builder();
    for kind in [TABLE, VIEW] {
        builder.append(kind);
    }
    builder.build()
}

/// What drivers ask before anything else. Identifiers follow DataFusion: unquoted ones fold to
/// lower case, `"quoted"` ones keep theirs; nulls sort as the largest values.
pub(crate) fn sql_info() -> Result<SqlInfoData, FlightError> {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "loglake");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    info.append(SqlInfo::FlightSqlServerReadOnly, false);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.append(SqlInfo::FlightSqlServerSubstrait, false);
    info.append(SqlInfo::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32);
    info.append(SqlInfo::FlightSqlServerCancel, false);
    info.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    info.append(SqlInfo::SqlDdlCatalog, false);
    info.append(SqlInfo::SqlDdlSchema, false);
    info.append(SqlInfo::SqlDdlTable, false);
    let lower = SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32;
    info.append(SqlInfo::SqlIdentifierCase, lower);
    info.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    let kept = SqlSupportedCaseSensitivity::SqlCaseSensitivityUnknown as i32;
    info.append(SqlInfo::SqlQuotedIdentifierCase, kept);
    info.append(SqlInfo::SqlAllTablesAreSelectable, true);
    info.append(SqlInfo::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32);
    info.append(SqlInfo::SqlSchemaTerm, "schema");
    info.append(SqlInfo::SqlCatalogTerm, "catalog");
    info.append(SqlInfo::SqlCatalogAtStart, true);
    info.append(SqlInfo::SqlCorrelatedSubqueriesSupported, true);
    info.append(SqlInfo::SqlTransactionsSupported, false);
    info.build()
}

/// The types that columns of results have: those of tables, and those of SQL over them.
pub(crate) fn xdbc_types() -> Result<XdbcTypeInfoData, FlightError> {
    use XdbcDataType as Xdbc;
    let mut builder = XdbcTypeInfoDataBuilder::new();
    // Name, type, digits or bits, radix (none for types that are no numbers).
    for (name, data_type, size, radix) in [
        ("BOOLEAN", Xdbc::XdbcBit, Some(1), None),
        ("SMALLINT", Xdbc::XdbcSmallint, Some(16), Some(2)),
        ("INTEGER", Xdbc::XdbcInteger, Some(32), Some(2)),
        ("BIGINT", Xdbc::XdbcBigint, Some(64), Some(2)),
        ("REAL", Xdbc::XdbcReal, Some(24), Some(2)),
        ("DOUBLE", Xdbc::XdbcDouble, Some(53), Some(2)),
        ("DECIMAL", Xdbc::XdbcDecimal, Some(38), Some(10)),
        ("VARCHAR", Xdbc::XdbcVarchar, None, None),
        ("BYTEA", Xdbc::XdbcVarbinary, None, None),
        ("DATE", Xdbc::XdbcDate, Some(10), None),
        ("TIMESTAMP", Xdbc::XdbcTimestamp, Some(26), None),
    ] {
        builder.append(xdbc_type(name, data_type, size, radix));
    }
    builder.build()
}

fn xdbc_type(
    name: &str,
    data_type: XdbcDataType,
    column_size: Option<i32>,
    num_prec_radix: Option<i32>,
) -> XdbcTypeInfo {
    let quoted = num_prec_radix.is_none() && data_type != XdbcDataType::XdbcBit;
    let (sql_data_type, datetime_subcode) = match data_type {
        // The protocol's `XDBC_SUBCODE_DATE` is an alias of this one.
        XdbcDataType::XdbcDate => {
            (XdbcDataType::XdbcDatetime, Some(XdbcDatetimeSubcode::XdbcSubcodeYear))
        }
        XdbcDataType::XdbcTimestamp => {
            (XdbcDataType::XdbcDatetime, Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp))
        }
        other => (other, None),
    };
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size,
        literal_prefix: quoted.then(|| "'".to_owned()),
        literal_suffix: quoted.then(|| "'".to_owned()),
        create_params: None,
        nullable: Nullable::NullabilityNullable,
        case_sensitive: data_type == XdbcDataType::XdbcVarchar,
        searchable: Searchable::Full,
        unsigned_attribute: num_prec_radix.map(|_| false),
        fixed_prec_scale: false,
        auto_increment: None,
        local_type_name: Some(name.to_owned()),
        minimum_scale: None,
        maximum_scale: None,
        sql_data_type,
        datetime_subcode,
        num_prec_radix,
        interval_precision: None,
    }
}

/// The answer about primary keys: tables have none.
pub(crate) fn no_primary_keys() -> RecordBatch {
    empty(&[
        ("catalog_name", DataType::Utf8, true),
        ("db_schema_name", DataType::Utf8, true),
        ("table_name", DataType::Utf8, false),
        ("column_name", DataType::Utf8, false),
        ("key_sequence", DataType::Int32, false),
        ("key_name", DataType::Utf8, true),
    ])
}

/// The answer about exported, imported and cross-referenced keys: there are none.
pub(crate) fn no_foreign_keys() -> RecordBatch {
    empty(&[
        ("pk_catalog_name", DataType::Utf8, true),
        ("pk_db_schema_name", DataType::Utf8, true),
        ("pk_table_name", DataType::Utf8, false),
        ("pk_column_name", DataType::Utf8, false),
        ("fk_catalog_name", DataType::Utf8, true),
        ("fk_db_schema_name", DataType::Utf8, true),
        ("fk_table_name", DataType::Utf8, false),
        ("fk_column_name", DataType::Utf8, false),
        ("key_sequence", DataType::Int32, false),
        ("fk_key_name", DataType::Utf8, true),
        ("pk_key_name", DataType::Utf8, true),
        ("update_rule", DataType::UInt8, false),
        ("delete_rule", DataType::UInt8, false),
    ])
}

fn empty(fields: &[(&str, DataType, bool)]) -> RecordBatch {
    let fields =
        fields.iter().map(|(name, kind, nullable)| Field::new(*name, kind.clone(), *nullable));
    let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::new_empty(schema)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;

    use super::*;

    fn relation(schema: &str, name: &str, kind: RelationKind) -> Relation {
        let columns = Arc::new(Schema::new(vec![Field::new("m", DataType::Utf8View, true)]));
        Relation { schema: schema.to_owned(), name: name.to_owned(), kind, columns }
    }

    #[test]
    fn tables_are_found_by_pattern_and_kind() {
        let relations = [
            relation("public", "logs", RelationKind::Table),
            relation("public", "nginx", RelationKind::Table),
            relation("lake", "files", RelationKind::View),
        ];
        let all = tables(CommandGetTables::default(), &relations).unwrap();
        assert_eq!(all.num_rows(), 3);
        let query = CommandGetTables {
            table_name_filter_pattern: Some("l%".to_owned()),
            table_types: vec![TABLE.to_owned()],
            include_schema: true,
            ..Default::default()
        };
        let one = tables(query, &relations).unwrap();
        assert_eq!(one.num_rows(), 1);
        assert_eq!(one["table_name"].as_string::<i32>().value(0), "logs");
        assert_eq!(one.num_columns(), 5);
        let schemas = schemas(CommandGetDbSchemas::default(), &relations).unwrap();
        assert_eq!(schemas.num_rows(), 2);
    }

    #[test]
    fn types_can_be_asked_one_by_one() {
        let types = xdbc_types().unwrap();
        let bigint = types.record_batch(XdbcDataType::XdbcBigint as i32).unwrap();
        assert_eq!(bigint.num_rows(), 1);
        assert_eq!(bigint["type_name"].as_string::<i32>().value(0), "BIGINT");
        let codes = types.record_batch(None).unwrap();
        let codes = codes["data_type"].as_primitive::<Int32Type>().values().to_vec();
        assert!(codes.is_sorted(), "{codes:?}");
    }

    #[test]
    fn the_server_says_that_it_takes_bulk_ingestion() {
        let info = sql_info().unwrap();
        let rows = info.record_batch([SqlInfo::FlightSqlServerBulkIngestion as u32]).unwrap();
        assert_eq!(rows.num_rows(), 1);
        assert!(info.record_batch([]).unwrap().num_rows() > 10);
    }
}
