//! The fields of a response as they were sent: order, case and repeats kept.

/// One field line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Field {
    /// The name as sent.
    pub(super) name: String,
    /// The value without white space around it; bytes that are no UTF-8 are replaced.
    pub(super) value: String,
}

/// Every field line of a response, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Fields(pub(super) Vec<Field>);

impl Fields {
    /// Adds a line.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.0.push(Field {
            name: String::from_utf8_lossy(name).into_owned(),
            value: String::from_utf8_lossy(value.trim_ascii()).into_owned(),
        });
    }

    /// The values of every line of that name, in order.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |f| f.name.eq_ignore_ascii_case(name)).map(|f| &*f.value)
    }

    /// The value of the first line of that name.
    pub(super) fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Fetch's "get": the lines of that name as one value.
    pub(super) fn joined(&self, name: &str) -> Option<String> {
        self.first(name)?;
        Some(self.all(name).collect::<Vec<_>>().join(", "))
    }

    /// Fetch's "get, decode, and split": the comma-separated values of all lines, commas in quoted
    /// strings not counted. `None` without a line of that name.
    pub(super) fn split(&self, name: &str) -> Option<Vec<String>> {
        self.joined(name).map(|text| split(&text))
    }
}

#[cfg(test)]
impl Fields {
    /// Fields from pairs, for the tests of this room.
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        let mut fields = Self::default();
        for (name, value) in pairs {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }
}

fn split(text: &str) -> Vec<String> {
    let (mut values, mut value) = (Vec::new(), String::new());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            ',' if !quoted => values.push(std::mem::take(&mut value).trim().to_owned()),
            '"' if !escaped => {
                quoted = !quoted;
                value.push(c);
            }
            _ => value.push(c),
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    values.push(value.trim().to_owned());
    values
}

/// Whether a byte may stand in a token (RFC 9110 §5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether the text is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_split_at_commas_outside_quotes_over_all_lines() {
        let fields = Fields::of(&[("X", r#"a, "b,\",c" ,"#), ("y", "no"), ("x", "d")]);
        assert_eq!(
            fields.split("x"),
            Some(["a", r#""b,\",c""#, "", "d"].map(str::to_owned).into())
        );
        assert_eq!(fields.split("z"), None);
    }

    #[test]
    fn an_empty_value_is_one_empty_value() {
        assert_eq!(Fields::of(&[("x", "")]).split("x"), Some(vec![String::new()]));
    }
}
