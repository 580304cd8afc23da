//! The atomics we use, or loom's models of them under `--cfg loom`.

#[cfg(loom)]
pub(crate) use self::modelled::*;
#[cfg(not(loom))]
pub(crate) use self::real::*;

#[cfg(not(loom))]
mod real {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
    pub(crate) use std::thread::yield_now;

    /// `std`'s cell with the access methods of loom's.
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// Under loom, tells loom who touches which byte of a chunk; here, nothing.
    pub(crate) struct Watch;

    impl Watch {
        pub(crate) const fn new() -> Self {
            Self
        }

        pub(crate) const fn read(&self, _start: usize, _end: usize) {}

        pub(crate) const fn write(&self, _start: usize, _end: usize) {}

        /// Whether the memory may go back to the allocator.
        pub(crate) const fn freed(&self) -> bool {
            true
        }
    }
}

#[cfg(loom)]
mod modelled {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    };
    pub(crate) use loom::thread::yield_now;

    use std::sync::atomic::{AtomicBool as RealBool, Ordering::Relaxed};

    use crate::CHUNK;

    /// Tells loom who touches which byte of a chunk: any two touches that are not ordered fail the model.
    ///
    /// Memory given back is not reused, so that a late touch fails here instead of doing harm.
    pub(crate) struct Watch {
        bytes: [UnsafeCell<()>; CHUNK],
        freed: RealBool,
    }

    impl Watch {
        pub(crate) fn new() -> Self {
            Self {
                bytes: std::array::from_fn(|_| UnsafeCell::new(())),
                freed: RealBool::new(false),
            }
        }

        pub(crate) fn read(&self, start: usize, end: usize) {
            assert!(!self.freed.load(Relaxed), "read after the chunk was given back");
            self.bytes[start..end].iter().for_each(|byte| byte.with(|_| ()));
        }

        pub(crate) fn write(&self, start: usize, end: usize) {
            assert!(!self.freed.load(Relaxed), "written after the chunk was given back");
            self.bytes[start..end].iter().for_each(|byte| byte.with_mut(|_| ()));
        }

        /// Whether the memory may go back to the allocator.
        pub(crate) fn freed(&self) -> bool {
            self.write(0, CHUNK);
            assert!(!self.freed.swap(true, Relaxed), "given back twice");
            false
        }
    }
}
