//! The rules that better a plan: DataFusion's and loglake's.

use std::sync::Arc;

use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use crate::text_filters::TextFilters;
use crate::top_rows::{FiltersOfColumns, OrderOfUnions};

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The rule of DataFusion that hands the filters of sorts to scans. Those of the query are there by then.
const HANDS_DOWN: &str = "FilterPushdown(Post)";

/// DataFusion's rules with loglake's at their place.
pub(crate) fn rules() -> Vec<Rule> {
    let mut rules = PhysicalOptimizer::new().rules;
    let place = rules.iter().position(|rule| rule.name() == HANDS_DOWN).unwrap_or(rules.len());
    rules.insert((place + 1).min(rules.len()), Arc::new(OrderOfUnions));
    let own: [Rule; 2] = [Arc::new(FiltersOfColumns), Arc::new(TextFilters)];
    rules.splice(place..place, own);
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_made_of_columns_before_they_are_handed_down_and_orders_told_after() {
        let names: Vec<String> = rules().iter().map(|rule| rule.name().to_owned()).collect();
        let place = names.iter().position(|name| name == HANDS_DOWN).unwrap();
        assert_eq!(names[place - 2..place], ["FiltersOfColumns", "TextFilters"]);
        assert_eq!(names[place + 1], "OrderOfUnions");
        assert!(names[..place].iter().any(|name| name == "FilterPushdown"));
    }
}
