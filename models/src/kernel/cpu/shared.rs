//! A slice that several threads write, each its own elements.
//!
//! Called wherever one operation's tasks fill one buffer. Errors: none; who writes what is the
//! callers' promise, stated at each unsafe block.

use std::marker::PhantomData;

/// A mutable slice without the rule that only one may hold it.
pub struct SharedMut<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: elements are only reached through unsafe functions whose callers write different ones.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Shares a slice for as long as it is borrowed.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// Where element `at` is.
    pub fn from(&self, at: usize) -> *mut T {
        assert!(at <= self.length, "outside of the buffer");
        // SAFETY: it is inside of the slice or at its end.
        unsafe { self.start.add(at) }
    }

    /// A part of the slice.
    ///
    /// # Safety
    ///
    /// Nobody else uses these elements while the answer lives.
    #[expect(clippy::mut_from_ref, reason = "this is what the type is for")]
    pub unsafe fn part(&self, range: std::ops::Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "outside of the buffer");
        // SAFETY: inside of the slice; the caller vouches that nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

impl<T> std::fmt::Debug for SharedMut<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedMut({} elements)", self.length)
    }
}
