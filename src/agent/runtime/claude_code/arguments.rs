//! An agent's own `args`, of which huskies takes out what it must decide itself.

use crate::domain::money::Usd;

/// Options with a value that would change what the stream means or which session it is.
const OWNED: [&str; 5] = [
    "--output-format",
    "--input-format",
    "--resume",
    "-r",
    "--session-id",
];
/// The same, without a value.
const OWNED_FLAGS: [&str; 5] = ["--continue", "-c", "--print", "-p", "--fork-session"];

/// What is left of an agent's arguments.
#[derive(Debug)]
pub(super) struct Arguments {
    rest: Vec<String>,
}

impl Arguments {
    pub(super) fn of(args: &[String]) -> Self {
        Self {
            rest: args.to_vec(),
        }
    }

    /// Takes out every `name value` and `name=value`. An option at the end, or before another
    /// option, has no value: it is taken out all the same.
    pub(super) fn take(&mut self, name: &str) -> Vec<String> {
        let (mut values, mut rest) = (Vec::new(), Vec::new());
        let mut args = std::mem::take(&mut self.rest).into_iter().peekable();
        while let Some(arg) = args.next() {
            if arg == name {
                values.extend(args.next_if(|next| !next.starts_with("--")));
            } else if let Some(value) = arg
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='))
            {
                values.push(value.to_owned());
            } else {
                rest.push(arg);
            }
        }
        self.rest = rest;
        values
    }

    /// Takes out an option; values that are no whole number above zero count as none.
    pub(super) fn numbers(&mut self, name: &str) -> Vec<u32> {
        self.take(name)
            .iter()
            .filter_map(|value| value.trim().parse().ok().filter(|&number| number > 0))
            .collect()
    }

    /// Takes out an option; values that are no amount of money count as none.
    pub(super) fn amounts(&mut self, name: &str) -> Vec<Usd> {
        let amount = |value: &String| value.trim().parse().ok().and_then(Usd::from_dollars);
        self.take(name)
            .iter()
            .filter_map(amount)
            .filter(|&amount| amount > Usd::ZERO)
            .collect()
    }

    /// Takes out what only huskies may say.
    pub(super) fn drop_owned(&mut self) {
        for name in OWNED {
            self.take(name);
        }
        self.rest.retain(|arg| !OWNED_FLAGS.contains(&arg.as_str()));
    }

    pub(super) fn rest(self) -> Vec<String> {
        self.rest
    }
}
