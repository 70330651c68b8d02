//! The cipher suites that there are, under the names that OpenSSL and its users give them.

use rustls::crypto::ring::cipher_suite;
use rustls::{CipherSuite, SupportedCipherSuite};

/// One cipher suite.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// Its name in cipher lists (`openssl ciphers`).
    pub name: &'static str,
    /// Bits of its symmetric key.
    pub bits: u16,
    /// The first protocol version it belongs to, key exchange, authentication, encryption and integrity, as
    /// `openssl ciphers -v` shows them.
    pub description: &'static str,
    /// The words of a cipher list that mean it.
    pub classes: &'static [&'static str],
    /// The suite itself.
    pub suite: SupportedCipherSuite,
}

impl Suite {
    /// The suite of this number.
    pub fn of(number: CipherSuite) -> Option<&'static Self> {
        SUITES.iter().find(|known| known.suite.suite() == number)
    }

    /// Whether it is one of TLS 1.3.
    pub fn is_tls13(&self) -> bool {
        self.suite.tls13().is_some()
    }
}

/// All of them, the preferred ones first.
pub static SUITES: &[Suite] = &[
    Suite {
        name: "TLS_AES_256_GCM_SHA384",
        bits: 256,
        description: "TLSv1.3 Kx=any Au=any Enc=AESGCM(256) Mac=AEAD",
        classes: &[],
        suite: cipher_suite::TLS13_AES_256_GCM_SHA384,
    },
    Suite {
        name: "TLS_AES_128_GCM_SHA256",
        bits: 128,
        description: "TLSv1.3 Kx=any Au=any Enc=AESGCM(128) Mac=AEAD",
        classes: &[],
        suite: cipher_suite::TLS13_AES_128_GCM_SHA256,
    },
    Suite {
        name: "TLS_CHACHA20_POLY1305_SHA256",
        bits: 256,
        description: "TLSv1.3 Kx=any Au=any Enc=CHACHA20/POLY1305(256) Mac=AEAD",
        classes: &[],
        suite: cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    },
    Suite {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        bits: 256,
        description: "TLSv1.2 Kx=ECDH Au=ECDSA Enc=AESGCM(256) Mac=AEAD",
        classes: &["aECDSA", "ECDSA", "AESGCM", "AES", "AES256", "SHA384"],
        suite: cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    },
    Suite {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        bits: 128,
        description: "TLSv1.2 Kx=ECDH Au=ECDSA Enc=AESGCM(128) Mac=AEAD",
        classes: &["aECDSA", "ECDSA", "AESGCM", "AES", "AES128", "SHA256"],
        suite: cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    },
    Suite {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        bits: 256,
        description: "TLSv1.2 Kx=ECDH Au=ECDSA Enc=CHACHA20/POLY1305(256) Mac=AEAD",
        classes: &["aECDSA", "ECDSA", "CHACHA20"],
        suite: cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    },
    Suite {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        bits: 256,
        description: "TLSv1.2 Kx=ECDH Au=RSA Enc=AESGCM(256) Mac=AEAD",
        classes: &["aRSA", "AESGCM", "AES", "AES256", "SHA384"],
        suite: cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    },
    Suite {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        bits: 128,
        description: "TLSv1.2 Kx=ECDH Au=RSA Enc=AESGCM(128) Mac=AEAD",
        classes: &["aRSA", "AESGCM", "AES", "AES128", "SHA256"],
        suite: cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    },
    Suite {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        bits: 256,
        description: "TLSv1.2 Kx=ECDH Au=RSA Enc=CHACHA20/POLY1305(256) Mac=AEAD",
        classes: &["aRSA", "CHACHA20"],
        suite: cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::ring::ALL_CIPHER_SUITES;

    #[test]
    fn every_suite_of_the_provider_is_known() {
        assert_eq!(SUITES.len(), ALL_CIPHER_SUITES.len());
        for suite in ALL_CIPHER_SUITES {
            let known = Suite::of(suite.suite()).unwrap();
            assert_eq!(known.is_tls13(), known.description.starts_with("TLSv1.3"), "{}", known.name);
        }
    }
}
