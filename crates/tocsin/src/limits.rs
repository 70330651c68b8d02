//! What the system allows this process.

/// Raises the limit of open descriptors to what is needed, as far as the system lets it.
pub(crate) fn raise_open_files(wanted: Option<u64>) {
    if let Err(cause) = tocsin_process::raise_open_files(wanted) {
        tracing::warn!("the limit of open files stays as it is: {cause}");
    }
}
