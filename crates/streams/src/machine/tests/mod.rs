//! Tests in virtual time.

mod deadlines;
