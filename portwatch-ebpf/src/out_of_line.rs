//! How functions end that are called, not inlined.
//!
//! The verifier refuses one that leaves a pointer to its stack in the register of the result, also where there is no
//! result, and then whatever was there last is there still.

/// The end of a function out of line.
pub(crate) struct Done;

/// Runs the whole of a function out of line.
#[inline(always)]
pub(crate) fn out_of_line(function: impl FnOnce()) -> Done {
    function();
    done()
}

/// Leaves a number in the register of the result; to be the last that a function out of line does.
#[inline(always)]
fn done() -> Done {
    #[cfg(target_arch = "bpf")]
    // SAFETY: sets the register that it says it sets.
    unsafe {
        core::arch::asm!("r0 = 0", out("r0") _, options(nomem, nostack));
    }
    Done
}
