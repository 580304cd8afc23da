//! Building blocks of memory that two threads share.
