//! Tables that AVPs are read from (manual, avpops, section 1.4.10): `name:table=subscriber;uuid_col=uuid;value_col=x`.

/// A table, and the columns that say whose its rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) table: String,
    pub(super) uuid: String,
    pub(super) username: String,
    pub(super) domain: String,
    /// The column with the value of an AVP.
    pub(super) value: String,
}

/// Another table, under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scheme {
    pub(super) name: String,
    pub(super) layout: Layout,
    /// Its values are numbers.
    pub(super) is_number: bool,
}

impl Scheme {
    /// Reads `name:element;element...`. What is not said is as in the `usual` table.
    pub(super) fn read(text: &str, usual: &Layout) -> Result<Self, String> {
        let form = "write it as `name:table=subscriber;uuid_col=uuid;value_col=first_name`";
        let (name, elements) = text.split_once(':').ok_or_else(|| form.to_owned())?;
        let name = name.trim();
        if name.is_empty() {
            return Err(form.to_owned());
        }
        let mut scheme = Self { name: name.to_owned(), layout: usual.clone(), is_number: false };
        let mut has_value = false;
        for element in elements.split(';').map(str::trim).filter(|element| !element.is_empty()) {
            let (key, value) = element.split_once('=').ok_or_else(|| form.to_owned())?;
            let (key, value) = (key.trim(), value.trim());
            if value.is_empty() {
                return Err(format!("`{key}` has no value"));
            }
            if !tocsin_db::is_name(value) {
                return Err(format!("`{value}` cannot be the name of a table or column"));
            }
            has_value |= key == "value_col";
            scheme.set(key, value)?;
        }
        if has_value { Ok(scheme) } else { Err("value_col is missing: the column to load".to_owned()) }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let place = match key {
            "table" => &mut self.layout.table,
            "uuid_col" => &mut self.layout.uuid,
            "username_col" => &mut self.layout.username,
            "domain_col" => &mut self.layout.domain,
            "value_col" => &mut self.layout.value,
            "value_type" => {
                self.is_number = match value {
                    "integer" => true,
                    "string" => false,
                    _ => return Err("value_type is `integer` or `string`".to_owned()),
                };
                return Ok(());
            }
            _ => {
                return Err(format!(
                    "there is no element `{key}`: there are table, uuid_col, username_col, domain_col, value_col and value_type"
                ));
            }
        };
        value.clone_into(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> Layout {
        let name = str::to_owned;
        Layout { table: name("t"), uuid: name("u"), username: name("n"), domain: name("d"), value: name("v") }
    }

    #[test]
    fn a_scheme_says_what_differs() {
        let text = "s1:table=subscriber;uuid_col=id; value_col=first_name;value_type=integer;";
        let scheme = Scheme::read(text, &usual()).unwrap();
        assert_eq!((scheme.name.as_str(), scheme.is_number), ("s1", true));
        let layout = Layout {
            table: "subscriber".to_owned(),
            uuid: "id".to_owned(),
            value: "first_name".to_owned(),
            ..usual()
        };
        assert_eq!(scheme.layout, layout);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, problem) in [
            ("table=x", "write it as"),
            (":value_col=x", "write it as"),
            ("s:table", "write it as"),
            ("s:table=x", "value_col is missing"),
            ("s:table=;value_col=x", "`table` has no value"),
            ("s:value_col=first name", "`first name` cannot be the name"),
            ("s:value_col=x;value_type=float", "value_type is"),
            ("s:value_col=x;tabel=y", "no element `tabel`"),
        ] {
            let said = Scheme::read(text, &usual()).unwrap_err();
            assert!(said.contains(problem), "{text}: {said}");
        }
    }
}
