//! One configuration file as it was written: known keys with their lines, unknown ones refused.
//!
//! Called by `cli/serve.rs` through [`read`]; `resolved.rs` decides what the values mean.
//! Form: TOML, tables one level deep (`[http]`, `[peers]`, ...), values text, integer, boolean or
//! an array of texts. Lines and columns count from 1, columns in characters.
//! Errors: [`ConfigError`] with the place. Absent on purpose: defaults, merging, the environment.

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    ConfigError, Origin,
    keys::{self, nearest},
};

/// A configuration file is refused beyond this size: it is a mistake, not a configuration.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub enum RawValue {
    /// A string.
    Text(String),
    /// An integer.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// An array of strings.
    Texts(Vec<String>),
    /// Something no key takes, by the name of its kind.
    Other(&'static str),
}

/// The keys of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RawConfig {
    /// Where it was read.
    pub path: PathBuf,
    /// Value and line of each key, by its dotted name.
    pub values: BTreeMap<&'static str, (RawValue, usize)>,
}

/// Reads a file; `Ok(None)` when it does not exist.
pub fn read(path: &Path) -> Result<Option<RawConfig>, ConfigError> {
    let unreadable = |cause: String| ConfigError::Unreadable { path: path.to_owned(), cause };
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    if size > MAX_FILE_BYTES {
        return Err(unreadable(format!("{size} bytes are more than {MAX_FILE_BYTES}")));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    parse(path, &text).map(Some)
}

/// Parses the text of a file.
pub fn parse(path: &Path, text: &str) -> Result<RawConfig, ConfigError> {
    let document = DeTable::parse(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        let message = error.message().to_owned();
        ConfigError::Syntax { path: path.to_owned(), line, column, message }
    })?;
    let mut config = RawConfig { path: path.to_owned(), values: BTreeMap::new() };
    let walk = Walk { path, text };
    for (name, value) in document.get_ref() {
        match value.get_ref() {
            DeValue::Table(table) if keys::is_table(name.get_ref()) => {
                for (inner, value) in table {
                    walk.take(&mut config, Some(name.get_ref()), inner, value)?;
                }
            }
            _ => walk.take(&mut config, None, name, value)?,
        }
    }
    Ok(config)
}

struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Walk<'_> {
    fn take(
        &self,
        config: &mut RawConfig,
        table: Option<&str>,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let (line, column) = place(self.text, name.span().start);
        let written = match table {
            Some(table) => format!("{table}.{}", name.get_ref()),
            None => name.get_ref().to_string(),
        };
        let path = self.path.to_owned();
        if table.is_none() && keys::is_table(&written) {
            let found = format!("a value of kind {}", value.get_ref().type_str());
            let expected = format!("a table, written [{written}]");
            let origin = Origin::File { path, line };
            return Err(ConfigError::BadValue { origin, key: written, found, expected });
        }
        let Some(key) = keys::ALL.into_iter().find(|key| *key == written) else {
            let known = keys::known_in(table);
            let near = nearest(name.get_ref(), known.iter().map(String::as_str));
            let nearest = near.map(str::to_owned).or_else(|| elsewhere(name.get_ref()));
            let key = written;
            return Err(ConfigError::UnknownKey { path, line, column, key, nearest, known });
        };
        config.values.insert(key, (raw_value(value.get_ref()), line));
        Ok(())
    }
}

/// A key that exists under that very name in another table.
fn elsewhere(name: &str) -> Option<String> {
    let mut same = keys::ALL.into_iter().filter(|key| key.rsplit('.').next() == Some(name));
    same.next().map(str::to_owned)
}

fn raw_value(value: &DeValue<'_>) -> RawValue {
    match value {
        DeValue::String(text) => RawValue::Text(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(RawValue::Other("integer out of range"), RawValue::Integer),
        DeValue::Boolean(boolean) => RawValue::Boolean(*boolean),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map_or(RawValue::Other("array of other things than texts"), RawValue::Texts),
        other => RawValue::Other(other.type_str()),
    }
}

/// Line and column (from 1) of a byte offset.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<RawConfig, ConfigError> {
        parse(Path::new("x.toml"), text)
    }

    #[test]
    fn known_keys_keep_their_lines() {
        let text = "network = \"lab\"\n\n[http]\nlisten = \"127.0.0.1:0\"\n[peers]\nmdns = false\n";
        let values = parsed(text).expect("valid").values;
        assert_eq!(values[keys::NETWORK], (RawValue::Text("lab".into()), 1));
        assert_eq!(values[keys::HTTP_LISTEN].1, 4);
        assert_eq!(values[keys::PEERS_MDNS], (RawValue::Boolean(false), 6));
    }

    #[test]
    fn an_unknown_key_names_line_column_and_the_nearest() {
        let error = parsed("[http]\nlisten = \"a\"\n  lisen = 1\n").expect_err("unknown");
        let text = error.to_string();
        assert_eq!(text, "x.toml:3:3: unknown key `http.lisen`, did you mean `listen`?");
    }

    #[test]
    fn an_unknown_table_is_an_unknown_key() {
        let text = parsed("[peer]\njoin = []\n").expect_err("unknown").to_string();
        assert_eq!(text, "x.toml:1:2: unknown key `peer`, did you mean `peers`?");
    }

    #[test]
    fn a_key_in_the_wrong_table_is_told_its_own() {
        let text = parsed("join = []\n").expect_err("unknown").to_string();
        assert!(text.ends_with("did you mean `peers.join`?"), "{text}");
    }

    #[test]
    fn a_table_written_as_a_value_is_told_its_form() {
        let text = parsed("\nhttp = 5\n").expect_err("no table").to_string();
        assert_eq!(
            text,
            "x.toml:2: `http` is a value of kind integer, expected a table, written [http]"
        );
        assert!(parsed("[[peers]]\n").is_err());
    }

    #[test]
    fn broken_toml_names_its_place() {
        let error = parsed("network = \"a\"\n[http\n").expect_err("broken");
        assert!(matches!(error, ConfigError::Syntax { line: 2, .. }), "{error}");
    }

    #[test]
    fn a_missing_file_is_none_and_a_folder_is_an_error() {
        assert_eq!(read(Path::new("/nonexistent/swarmllm.toml")), Ok(None));
        assert!(matches!(read(Path::new("/")), Err(ConfigError::Unreadable { .. })));
    }
}
