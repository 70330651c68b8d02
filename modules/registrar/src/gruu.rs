//! GRUUs: URIs that lead to one device of an AOR from everywhere (RFC 5627). A public one shows the AOR and the instance. A
//! temporary one hides both: its user is their encryption, so that nothing is kept about it, and it holds until its device
//! registers with another Call-ID.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use tocsin_sip::{UriRef, unescape};

/// What the user of a temporary GRUU begins with.
const PREFIX: &[u8] = b"tgruu.";
/// Bytes of an AES-128 key.
const KEY_LENGTH: usize = 16;

/// Makes temporary GRUUs and reads them.
#[derive(Clone)]
pub(super) struct GruuMint {
    /// `None` only where the system has no random bytes: then there are no temporary GRUUs.
    key: Option<LessSafeKey>,
}

/// What a GRUU leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gruu {
    /// The instance of a device; the AOR is that of the URI.
    Public(Vec<u8>),
    /// A device of another AOR than that of the URI.
    Temporary(Device),
    /// A temporary GRUU that was not made here.
    Foreign,
}

/// A device, as a temporary GRUU names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Device {
    /// The address of record that its bindings are kept under.
    pub(super) aor: Vec<u8>,
    /// Its instance, as it registers it.
    pub(super) instance: Vec<u8>,
    /// A hash of the Call-ID of its registrations.
    pub(super) call_id: u64,
}

impl fmt::Debug for GruuMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GruuMint")
    }
}

impl GruuMint {
    /// With this secret; with one of its own if it is empty.
    pub(super) fn new(secret: &[u8]) -> Self {
        let mut own = [0; 32];
        if secret.is_empty() && SystemRandom::new().fill(&mut own).is_err() {
            tracing::error!("the system has no random bytes: no temporary GRUUs are given out");
            return Self { key: None };
        }
        let digest = digest(&SHA256, if secret.is_empty() { &own } else { secret });
        let key = UnboundKey::new(&AES_128_GCM, &digest.as_ref()[..KEY_LENGTH]);
        Self { key: key.ok().map(LessSafeKey::new) }
    }

    /// The user of a new temporary GRUU: another one each time.
    pub(super) fn temporary(&self, device: &Device) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = device.to_bytes()?;
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.key.as_ref()?.seal_in_place_append_tag(sealing, Aad::empty(), &mut sealed).ok()?;
        let text = BASE64URL_NOPAD.encode(&[&nonce[..], &sealed].concat());
        Some(format!("{}{text}", String::from_utf8_lossy(PREFIX)))
    }

    /// What `uri` leads to, if it is a GRUU.
    pub(super) fn read(&self, uri: &[u8]) -> Option<Gruu> {
        let uri = UriRef::parse(uri).ok()?;
        let gr = uri.param(b"gr")?.value.unwrap_or_default();
        if !gr.is_empty() {
            return Some(Gruu::Public(unescape(gr).into_owned()));
        }
        let sealed = uri.user()?.strip_prefix(PREFIX)?;
        Some(self.open(sealed).map_or(Gruu::Foreign, Gruu::Temporary))
    }

    fn open(&self, text: &[u8]) -> Option<Device> {
        let bytes = BASE64URL_NOPAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let open = self.key.as_ref()?.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        Device::from_bytes(open)
    }
}

impl Device {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        let length = u16::try_from(self.aor.len()).ok()?;
        Some([&self.call_id.to_be_bytes()[..], &length.to_be_bytes(), &self.aor, &self.instance].concat())
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (call_id, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (aor, instance) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        Some(Self { aor: aor.to_vec(), instance: instance.to_vec(), call_id: u64::from_be_bytes(*call_id) })
    }
}

/// The URN of an instance without its angle brackets.
pub(super) fn bare_urn(instance: &[u8]) -> &[u8] {
    instance.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">")).unwrap_or(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> Device {
        Device { aor: b"alice".to_vec(), instance: b"<urn:uuid:1>".to_vec(), call_id: 7 }
    }

    #[test]
    fn rfc5627_temporary_gruus_hide_their_device_and_differ() {
        let mint = GruuMint::new(b"secret");
        let users = [(); 2].map(|()| mint.temporary(&device()).unwrap());
        assert_ne!(users[0], users[1]);
        for user in &users {
            assert!(!user.contains("alice"), "{user}");
            let uri = format!("sip:{user}@192.0.2.1:5060;gr");
            assert_eq!(mint.read(uri.as_bytes()), Some(Gruu::Temporary(device())));
            assert_eq!(GruuMint::new(b"secret").read(uri.as_bytes()), Some(Gruu::Temporary(device())));
            assert_eq!(GruuMint::new(b"other").read(uri.as_bytes()), Some(Gruu::Foreign));
            let (start, end) = uri.split_at(20);
            let other = if end.starts_with('A') { 'B' } else { 'A' };
            let changed = format!("{start}{other}{}", &end[1..]);
            assert_eq!(mint.read(changed.as_bytes()), Some(Gruu::Foreign), "{changed}");
        }
    }

    #[test]
    fn a_secret_of_its_own_is_different_each_time() {
        let user = GruuMint::new(b"").temporary(&device()).unwrap();
        let uri = format!("sip:{user}@192.0.2.1;gr");
        assert_eq!(GruuMint::new(b"").read(uri.as_bytes()), Some(Gruu::Foreign));
    }

    #[test]
    fn rfc5627_5_4_what_is_a_gruu() {
        let mint = GruuMint::new(b"secret");
        assert_eq!(mint.read(b"sip:a@b;gr=urn:uuid:1"), Some(Gruu::Public(b"urn:uuid:1".to_vec())));
        assert_eq!(mint.read(b"sip:a@b;gr"), None);
        assert_eq!(mint.read(b"sip:a@b"), None);
        assert_eq!(mint.read(b"sip:tgruu.@b;gr"), Some(Gruu::Foreign));
        assert_eq!(mint.read(b"sip:tgruu.AAAA@b;gr"), Some(Gruu::Foreign));
    }
}
