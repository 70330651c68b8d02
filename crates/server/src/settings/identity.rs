//! Who the server is for the system: user, group and folders.

use std::path::PathBuf;

use super::values::Parameter;
use crate::declared::DefaultValue::Unset;
use crate::declared::Effect::Sets;
use crate::declared::{Kind, set, text};

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "user",
        Kind::Text,
        Unset("the user that starts the server"),
        "The user to run as, by name or number, once all sockets are open. -u wins.",
        Sets(|settings, value| {
            let account = tocsin_process::lookup_account(&text(value)?);
            set(&mut settings.identity.user, account.map(Some).map_err(|cause| cause.to_string()))
        }),
    )
    .older(&["uid"]),
    Parameter::new(
        "group",
        Kind::Text,
        Unset("the group of the user"),
        "The group to run as, by name or number. -g wins.",
        Sets(|settings, value| {
            let group = tocsin_process::lookup_group(&text(value)?);
            set(&mut settings.identity.group, group.map(Some).map_err(|cause| cause.to_string()))
        }),
    )
    .older(&["gid"]),
    Parameter::new(
        "chroot",
        Kind::Text,
        Unset("none"),
        "The folder that becomes the root of the file system for the server. -t wins.",
        Sets(|settings, value| {
            set(&mut settings.identity.root, text(value).map(|path| Some(PathBuf::from(&*path))))
        }),
    ),
    Parameter::new(
        "wdir",
        Kind::Text,
        Unset("/ in the background, the current folder in the foreground"),
        "The folder to work in. -w wins.",
        Sets(|settings, value| {
            set(&mut settings.identity.directory, text(value).map(|path| Some(PathBuf::from(&*path))))
        }),
    )
    .older(&["workdir"]),
];
