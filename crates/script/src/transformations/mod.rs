//! Transformations of a variable's value, `$(ru{uri.host})` (manual, "Script Transformations").
//!
//! Each is declared in one row of the file of its class: how it is written, what it is for, what it does. A row knows
//! neither the language nor its host; [`prepare`](prepare::prepare) makes of the written ones what a variable runs. All
//! give NULL for NULL, so that they chain, and take a number by its decimal text.

mod csv;
mod encoding;
mod given;
mod hash;
mod ip;
mod nameaddr;
mod network;
mod param;
mod params;
mod prepare;
mod row;
mod sdp;
mod substitution;
mod text;
mod uri;
mod via;

pub use row::{Kind, Parameter, Transformation};
pub(crate) use substitution::read as read_substitution;

pub(crate) use prepare::prepare;

/// Transformations that belong together.
#[derive(Debug)]
pub struct Class {
    /// For documents.
    pub title: &'static str,
    /// What they are for, in a sentence.
    pub doc: &'static str,
    /// The transformations.
    pub rows: &'static [Transformation],
}

/// All transformations, by class.
pub const CLASSES: &[Class] = &[
    Class { title: "Text", doc: "Lengths, parts, searching and filling.", rows: text::ROWS },
    Class {
        title: "Encodings",
        doc: "Encodings of text, numbers in another base, and a checksum.",
        rows: encoding::ROWS,
    },
    Class { title: "Hashes", doc: "Hashes and keyed hashes (RFC 2104).", rows: hash::ROWS },
    Class {
        title: "URIs",
        doc: "Parts of a SIP, tel or service URI. NULL if the text is not a URI.",
        rows: uri::ROWS,
    },
    Class {
        title: "Via",
        doc: "Parts of a Via header field; of several values, the first. NULL if the text is not a Via.",
        rows: via::ROWS,
    },
    Class {
        title: "Lists of parameters",
        doc: "Lists such as `a=1;b;c=\"x;y\"`. NULL if any part of the text is malformed.",
        rows: param::ROWS,
    },
    Class {
        title: "Addresses",
        doc: "Addresses such as `\"Alice\" <sip:alice@example.org>;tag=1`. An index in the name, as in \
              `{nameaddr.1.uri}`, selects one of a list separated by commas: 0 is the first, which is also the default, \
              -1 the last.",
        rows: nameaddr::ROWS,
    },
    Class { title: "IP addresses", doc: "Addresses in text and in binary.", rows: ip::ROWS },
    Class { title: "CSV", doc: "Fields between commas (RFC 4180).", rows: csv::ROWS },
    Class { title: "SDP", doc: "Lines and streams of a session description (RFC 4566).", rows: sdp::ROWS },
    Class {
        title: "Regular expressions",
        doc: "Replacing text that matches an expression.",
        rows: substitution::ROWS,
    },
];

/// The transformation of this name, letters of either case, and the index in it: 2 in `nameaddr.2.uri`.
pub fn find(name: &str) -> Option<(&'static Transformation, i64)> {
    let named = |name: &str| all().find(|row| row.name.eq_ignore_ascii_case(name));
    named(name).map(|row| (row, 0)).or_else(|| {
        let (class, rest) = name.split_once('.')?;
        let (index, rest) = rest.split_once('.')?;
        let row = named(&format!("{class}.{rest}")).filter(|row| row.takes_index())?;
        Some((row, index.parse().ok()?))
    })
}

fn all() -> impl Iterator<Item = &'static Transformation> {
    CLASSES.iter().flat_map(|class| class.rows)
}

#[cfg(test)]
mod tests;
