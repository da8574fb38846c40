//! What other rooms know and the config must ask: rules, profiles, plans.

use serde_json::Value;

use super::model::PlanSpec;
use crate::target::TextFile;

/// Checks that belong to other rooms. Every method has a default that finds nothing wrong.
pub trait Checks {
    /// Takes the operator's own rule packs in, before any rule is asked for. Each fault names the
    /// pack's file and position itself.
    fn packs(&self, packs: &[TextFile]) -> Result<(), Vec<String>> {
        let _ = packs;
        Ok(())
    }

    /// Whether the plan can be kept: cron's meaning, the time zone, the guarantee's cost.
    fn plan_ok(&self, plan: &PlanSpec) -> Result<(), String> {
        let _ = plan;
        Ok(())
    }

    /// Every rule's id; `None` where rules are not known.
    fn rules(&self) -> Option<Vec<String>> {
        None
    }

    /// Whether a range's operators and values fit the rule's measure.
    fn range_ok(&self, rule: &str, operator: &str, value: &Value) -> Result<(), String> {
        let _ = (rule, operator, value);
        Ok(())
    }

    /// Every profile's name; `None` where profiles are not known.
    fn profiles(&self) -> Option<Vec<String>> {
        None
    }
}

/// Finds nothing wrong.
#[derive(Clone, Copy, Debug)]
pub struct NoChecks;

impl Checks for NoChecks {}
