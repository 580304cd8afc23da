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
        AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
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

        pub(crate) const fn base(&self) {}

        pub(crate) const fn read(&self, _start: usize, _end: usize) {}

        pub(crate) const fn write(&self, _start: usize, _end: usize) {}
    }
}

#[cfg(loom)]
mod modelled {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use loom::thread::yield_now;

    use std::cell::Cell;
    use std::sync::atomic::{AtomicBool as RealBool, Ordering::Relaxed};

    use crate::CHUNK;

    thread_local! {
        /// Chunks allocated and not given back, by the model that runs on this thread.
        pub(crate) static BALANCE: Cell<usize> = const { Cell::new(0) };
    }

    /// Tells loom who touches which byte of a chunk: any two touches that are not ordered fail the model.
    ///
    /// Memory given back is not reused, so that a late touch fails here instead of doing harm.
    pub(crate) struct Watch {
        base: UnsafeCell<()>,
        bytes: [UnsafeCell<()>; CHUNK],
        freed: RealBool,
    }

    impl Watch {
        pub(crate) fn new() -> Self {
            BALANCE.set(BALANCE.get() + 1);
            let watch = Self {
                base: UnsafeCell::new(()),
                bytes: std::array::from_fn(|_| UnsafeCell::new(())),
                freed: RealBool::new(false),
            };
            watch.base.with_mut(|_| ());
            watch
        }

        pub(crate) fn base(&self) {
            self.touch("read", || self.base.with(|_| ()));
        }

        pub(crate) fn read(&self, start: usize, end: usize) {
            let bytes = self.bytes[start..end].iter();
            self.touch("read", || bytes.for_each(|byte| byte.with(|_| ())));
        }

        pub(crate) fn write(&self, start: usize, end: usize) {
            let bytes = self.bytes[start..end].iter();
            self.touch("written", || bytes.for_each(|byte| byte.with_mut(|_| ())));
        }

        pub(crate) fn free(&self) {
            self.write(0, CHUNK);
            self.freed.store(true, Relaxed);
            BALANCE.set(BALANCE.get() - 1);
        }

        fn touch(&self, how: &str, touch: impl FnOnce()) {
            assert!(!self.freed.load(Relaxed), "{how} after the chunk was given back");
            touch();
        }
    }
}
