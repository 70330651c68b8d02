//! `{s.md5}` and its kin: hashes, and codes that authenticate a message (RFC 2104), in small hexadecimal letters.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::encoding::to_hex;
use super::given::{Given, text as text_of};
use super::row::{Kind, Parameter, Transformation};
use crate::value::Value;

const KEY: &[Parameter] = &[Parameter::required("key", Kind::Text)];

pub(super) const ROWS: &[Transformation] = &[
    Transformation::text("s.md5", hash::<Md5>, "The MD5 hash in hexadecimal."),
    Transformation::text("s.sha1", hash::<Sha1>, "The SHA-1 hash in hexadecimal."),
    Transformation::text("s.sha224", hash::<Sha224>, "The SHA-224 hash in hexadecimal."),
    Transformation::text("s.sha256", hash::<Sha256>, "The SHA-256 hash in hexadecimal."),
    Transformation::text("s.sha384", hash::<Sha384>, "The SHA-384 hash in hexadecimal."),
    Transformation::text("s.sha512", hash::<Sha512>, "The SHA-512 hash in hexadecimal."),
    Transformation::with(
        "s.sha1_hmac",
        KEY,
        hmac::<Hmac<Sha1>>,
        "The HMAC with SHA-1 and the key, in hexadecimal.",
    ),
    Transformation::with(
        "s.sha224_hmac",
        KEY,
        hmac::<Hmac<Sha224>>,
        "The HMAC with SHA-224 and the key, in hexadecimal.",
    ),
    Transformation::with(
        "s.sha256_hmac",
        KEY,
        hmac::<Hmac<Sha256>>,
        "The HMAC with SHA-256 and the key, in hexadecimal.",
    ),
    Transformation::with(
        "s.sha384_hmac",
        KEY,
        hmac::<Hmac<Sha384>>,
        "The HMAC with SHA-384 and the key, in hexadecimal.",
    ),
    Transformation::with(
        "s.sha512_hmac",
        KEY,
        hmac::<Hmac<Sha512>>,
        "The HMAC with SHA-512 and the key, in hexadecimal.",
    ),
];

fn hash<H: Digest>(text: &[u8]) -> Value {
    to_hex(&H::digest(text))
}

fn hmac<M: Mac + KeyInit>(text: &[u8], given: &[Given]) -> Value {
    let code = text_of(given, 0).and_then(|key| <M as KeyInit>::new_from_slice(key).ok());
    code.map_or(Value::Null, |mut code| {
        code.update(text);
        to_hex(&code.finalize().into_bytes())
    })
}
