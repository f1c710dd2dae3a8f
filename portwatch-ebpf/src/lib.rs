//! The contract between the kernel side and the user side of portwatch.
//!
//! The library is only [`abi`]: layouts, no code, no dependency. The programs are the binaries of this package.
#![no_std]

pub mod abi;
