//! Calls of functions for who builds plans instead of SQL.

use datafusion::logical_expr::{Expr, lit};
use datafusion_functions_json::udfs;

/// The value of a key of `attributes` as text, whichever way its dots are spelled; null where the
/// row has none.
pub fn attribute_text(attributes: Expr, key: &str) -> Expr {
    let text = |path: Vec<&str>| {
        let path = path.into_iter().map(lit);
        udfs::json_as_text_udf().call([attributes.clone()].into_iter().chain(path).collect())
    };
    let whole = text(vec![key]);
    if !key.contains('.') {
        return whole;
    }
    datafusion::functions::core::expr_fn::coalesce(vec![whole, text(key.split('.').collect())])
}

/// The same as a number (`Float64`); null where it is none.
pub fn attribute_number(attributes: Expr, key: &str) -> Expr {
    let text = attribute_text(attributes, key);
    datafusion::logical_expr::try_cast(text, arrow::datatypes::DataType::Float64)
}
