//! Request methods.

use std::fmt;

macro_rules! methods {
    ($($variant:ident $text:literal $rfc:literal),* $(,)?) => {
        /// The method of a request. Names are case-sensitive (RFC 3261 section 7.1).
        ///
        /// A method not listed is [`Method::Other`]; its name is beside it, in
        /// [`Message::method_text`](crate::Message::method_text) or
        /// [`CSeqRef::method_text`](crate::CSeqRef::method_text).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = concat!("`", $text, "`, ", $rfc, ".")] $variant,)*
            /// Any other token.
            Other,
        }

        impl Method {
            /// The method with this name.
            #[must_use]
            pub fn of(name: &[u8]) -> Self {
                $(if name == $text.as_bytes() { return Self::$variant; })*
                Self::Other
            }

            /// The name as it is sent; empty for [`Method::Other`].
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "",
                }
            }
        }
    };
}

methods! {
    Invite "INVITE" "RFC 3261",
    Ack "ACK" "RFC 3261",
    Bye "BYE" "RFC 3261",
    Cancel "CANCEL" "RFC 3261",
    Options "OPTIONS" "RFC 3261",
    Register "REGISTER" "RFC 3261",
    Message "MESSAGE" "RFC 3428",
    Subscribe "SUBSCRIBE" "RFC 6665",
    Notify "NOTIFY" "RFC 6665",
    Publish "PUBLISH" "RFC 3903",
    Update "UPDATE" "RFC 3311",
    Prack "PRACK" "RFC 3262",
    Info "INFO" "RFC 6086",
    Refer "REFER" "RFC 3515",
}

impl Method {
    /// Whether a dialog can come of it, so that its replies carry Record-Route (RFC 3261 section 12.1, RFC
    /// 6665 section 4.4.1, RFC 3515 section 2.4.4).
    #[must_use]
    pub const fn forms_dialog(self) -> bool {
        matches!(self, Self::Invite | Self::Subscribe | Self::Refer | Self::Notify)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_case_sensitive() {
        assert_eq!(Method::of(b"INVITE"), Method::Invite);
        assert_eq!(Method::of(b"invite"), Method::Other);
        assert_eq!(Method::of(b"INVITES"), Method::Other);
        assert_eq!(Method::of(Method::Refer.text().as_bytes()), Method::Refer);
    }
}
