//! The provided-buffer ring that every multishot receive of one shard draws from.
//!
//! One allocation holds the kernel's ring of descriptors, another the buffers. An idle socket owns none of them: the
//! kernel takes one only when bytes have arrived.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::{IoUring, types::BufRingEntry};

const PAGE_BYTES: usize = 4096;

pub(super) struct ReceiveBuffers {
    ring: *mut BufRingEntry,
    bytes: *mut u8,
    count: u16,
    buffer_bytes: u32,
    /// Counts up and wraps, as the kernel's copy does.
    tail: u16,
    /// Which buffers are ours at the moment: a completion brought them, and they were not given back.
    ours: Vec<bool>,
}

impl ReceiveBuffers {
    /// The one buffer group of a ring.
    pub(super) const GROUP: u16 = 0;

    /// Allocates `count` (a power of two, at most 32,768) buffers of `buffer_bytes` each and registers them.
    pub(super) fn register(uring: &IoUring, count: u16, buffer_bytes: u32) -> io::Result<Self> {
        assert!(count.is_power_of_two() && buffer_bytes > 0, "{count} buffers of {buffer_bytes} bytes");
        // SAFETY: both layouts have a non-zero size.
        let (ring, bytes) =
            unsafe { (alloc_zeroed(Self::ring_layout(count)), alloc_zeroed(Self::bytes_layout(count, buffer_bytes))) };
        if ring.is_null() || bytes.is_null() {
            handle_alloc_error(Self::bytes_layout(count, buffer_bytes));
        }
        let mut buffers =
            Self { ring: ring.cast(), bytes, count, buffer_bytes, tail: 0, ours: vec![true; count.into()] };
        // SAFETY: the ring is page-aligned, `count` entries long and lives as long as `self`, which the owner drops
        // after the io_uring instance.
        unsafe { uring.submitter().register_buf_ring_with_flags(buffers.ring as u64, count, Self::GROUP, 0)? };
        for id in 0..count {
            buffers.recycle(id);
        }
        Ok(buffers)
    }

    /// Notes that the kernel gave a buffer up: its completion was reaped.
    pub(super) fn take(&mut self, id: u16) {
        assert!(!std::mem::replace(&mut self.ours[id as usize], true), "the kernel gave buffer {id} twice");
    }

    /// The first `len` bytes of a buffer that a reaped completion named.
    pub(super) fn bytes(&mut self, id: u16, len: usize) -> &mut [u8] {
        assert!(self.ours[id as usize] && len <= self.buffer_bytes as usize, "buffer {id} of {len} bytes is not ours");
        // SAFETY: inside the allocation, and the kernel gave this buffer up, by the assertion; `&mut self` keeps it from
        // being recycled while the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.add(id as usize * self.buffer_bytes as usize), len) }
    }

    /// Gives a buffer back to the kernel.
    pub(super) fn recycle(&mut self, id: u16) {
        assert!(std::mem::replace(&mut self.ours[id as usize], false), "buffer {id} was given back twice");
        let index = self.tail & (self.count - 1);
        // SAFETY: `index < count`, so the entry is inside the ring; the kernel reads it only after the release store
        // of the tail below; the tail lives in the first entry's reserved field (io_uring_register_buf_ring(3)).
        unsafe {
            let entry = &mut *self.ring.add(index as usize);
            entry.set_addr(self.bytes.add(id as usize * self.buffer_bytes as usize) as u64);
            entry.set_len(self.buffer_bytes);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let shared_tail = BufRingEntry::tail(self.ring) as *const AtomicU16;
            (*shared_tail).store(self.tail, Ordering::Release);
        }
    }

    fn ring_layout(count: u16) -> Layout {
        Layout::from_size_align(count as usize * size_of::<BufRingEntry>(), PAGE_BYTES).expect("a small layout")
    }

    fn bytes_layout(count: u16, buffer_bytes: u32) -> Layout {
        Layout::from_size_align(count as usize * buffer_bytes as usize, PAGE_BYTES).expect("a small layout")
    }
}

impl Drop for ReceiveBuffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `register` with these very layouts, and the kernel's ring is gone by now.
        unsafe {
            dealloc(self.ring.cast(), Self::ring_layout(self.count));
            dealloc(self.bytes, Self::bytes_layout(self.count, self.buffer_bytes));
        }
    }
}
