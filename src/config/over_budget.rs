//! A plan that takes more than a budget allows, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::schedule::{PlanSpec, Rate};

/// A plan that takes more than a budget allows.
#[derive(Clone, Debug, PartialEq)]
pub struct OverBudget {
    /// The plan.
    pub plan: Arc<str>,
    /// The budget's key: `budgets.per_address.tls`, `budgets.total`, `rate`.
    pub budget: String,
    /// Where: an address, a network, a target's name; empty for the total.
    pub at: String,
    /// Connections a second that the samples take there, those of other plans included.
    pub needed: f64,
    /// Connections a second that are allowed.
    pub allowed: f64,
    /// The nearest plan that fits there; `None` where not even a sample a year does.
    pub nearest: Option<PlanSpec>,
    /// The other plans there take too much by themselves, so that they have to slow down as well.
    pub with_others: bool,
    /// It breaks a guarantee, and the config cannot be used.
    pub is_refused: bool,
    /// At how many places more it is so.
    pub more: usize,
    pub(super) span: Range<usize>,
}

impl OverBudget {
    /// How many times more than allowed.
    pub fn times(&self) -> f64 {
        self.needed / self.allowed
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match &self.nearest {
            Some(nearest) if self.with_others => format!(
                "the nearest plan that fits is {nearest}, with the other plans there slowed as much; \
                 or raise the budget"
            ),
            Some(nearest) => {
                format!("the nearest plan that fits is {nearest}; or raise the budget")
            }
            None => "no slower plan fits; raise the budget, or sample less there".to_owned(),
        }
    }
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, budget, at, needed, allowed, more, .. } = self;
        let at = if at.is_empty() { "in all".to_owned() } else { format!("at {at}") };
        let allowed = Rate::per_second(*allowed).map_or(String::new(), |rate| rate.to_string());
        write!(
            f,
            "plan `{plan}` {} `{budget}`: the samples due take {needed:.3} connections a second {at}, \
             {allowed} are allowed: {:.2} times as many",
            if self.is_refused { "cannot keep its guarantee within" } else { "takes more than" },
            self.times(),
        )?;
        match more {
            0 => Ok(()),
            more => write!(f, "; so it is at {more} more"),
        }
    }
}
