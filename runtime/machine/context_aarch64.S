/* SPDX-License-Identifier: MIT */
/* The switch on AArch64; context.h has the essay. What is kept is the callee-saved part of AAPCS64: x19-x30, d8-d15 (the low halves of
 * v8-v15), and FPCR. FPSR holds status bits, and stays with the kernel thread. A saved stack looks like this, from low to high:
 *
 *      0  x19  x20    16 x21  x22    32 x23  x24    48 x25  x26    64 x27  x28
 *     80  x29  where to go on (x30)
 *     96  d8   d9    112 d10  d11   128 d12  d13   144 d14  d15
 *    160  FPCR, unused (8 bytes)
 *
 * Landing pads are hints, no-ops on CPUs without BTI. */
        .arch   armv8-a
        .text

#define BTI_C  hint 34
#define BTI_JC hint 38

        .globl  fl_context_switch
        .hidden fl_context_switch
        .type   fl_context_switch, %function
        .p2align 5
fl_context_switch:
        .cfi_startproc
        BTI_C
        sub     sp, sp, #176
        .cfi_def_cfa_offset 176
        stp     x19, x20, [sp, #0]
        .cfi_offset x19, -176
        .cfi_offset x20, -168
        stp     x21, x22, [sp, #16]
        .cfi_offset x21, -160
        .cfi_offset x22, -152
        stp     x23, x24, [sp, #32]
        .cfi_offset x23, -144
        .cfi_offset x24, -136
        stp     x25, x26, [sp, #48]
        .cfi_offset x25, -128
        .cfi_offset x26, -120
        stp     x27, x28, [sp, #64]
        .cfi_offset x27, -112
        .cfi_offset x28, -104
        stp     x29, x30, [sp, #80]
        .cfi_offset x29, -96
        .cfi_offset x30, -88
        stp     d8, d9, [sp, #96]
        .cfi_offset d8, -80
        .cfi_offset d9, -72
        stp     d10, d11, [sp, #112]
        .cfi_offset d10, -64
        .cfi_offset d11, -56
        stp     d12, d13, [sp, #128]
        .cfi_offset d12, -48
        .cfi_offset d13, -40
        stp     d14, d15, [sp, #144]
        .cfi_offset d14, -32
        .cfi_offset d15, -24
        mrs     x9, fpcr
        str     x9, [sp, #160]
        mov     x10, sp
        str     x10, [x0]
        mov     sp, x1                  /* from here on the other stack; its frame has the same shape, so the CFI holds */
        ldr     x10, [sp, #160]
        cmp     x9, x10
        b.ne    .Lfpcr
.Lfpcr_done:
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        .cfi_remember_state
        add     sp, sp, #176
        .cfi_def_cfa_offset 0
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        .cfi_restore d8
        .cfi_restore d9
        .cfi_restore d10
        .cfi_restore d11
        .cfi_restore d12
        .cfi_restore d13
        .cfi_restore d14
        .cfi_restore d15
        ret
        .cfi_restore_state
.Lfpcr:
        msr     fpcr, x10
        b       .Lfpcr_done
        .cfi_endproc
        .size   fl_context_switch, . - fl_context_switch

        /* The one place from which tasks switch, so that every return of fl_context_switch is predicted. */
        .globl  fl_context_leave
        .hidden fl_context_leave
        .type   fl_context_leave, %function
        .p2align 4
fl_context_leave:
        .cfi_startproc
        BTI_C
        stp     x30, x2, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset x30, -16
        bl      fl_context_switch
        ldp     x30, x16, [sp], #16     /* x16: a landing pad for calls admits a jump by it */
        .cfi_def_cfa_offset 0
        .cfi_restore x30
        br      x16
        .cfi_endproc
        .size   fl_context_leave, . - fl_context_leave

        .globl  fl_context_make
        .hidden fl_context_make
        .type   fl_context_make, %function
        .p2align 4
fl_context_make:
        .cfi_startproc
        BTI_C
        adr     x9, .Lfirst
        sub     x0, x0, #176
        stp     x1, xzr, [x0, #0]       /* x19: entry */
        stp     xzr, xzr, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, x9, [x0, #80]
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        stp     xzr, xzr, [x0, #160]    /* FPCR: the default, no traps, round to nearest */
        ret
        .cfi_endproc
        .size   fl_context_make, . - fl_context_make

        /* The bottom frame. Its return address is undefined: here every unwinder stops. */
        .type   fl_context_first, %function
        .p2align 4
fl_context_first:
        .cfi_startproc
        .cfi_undefined x30
        nop                             /* unwinders look up the address before the return address */
.Lfirst:
        BTI_JC
        blr     x19
        brk     #0
        .cfi_endproc
        .size   fl_context_first, . - fl_context_first

        .section .note.GNU-stack, "", %progbits

#ifdef __ARM_FEATURE_BTI_DEFAULT
        /* Says that this object has its landing pads; one object without it would switch BTI off for the whole program. */
        .section .note.gnu.property, "a"
        .p2align 3
        .long   4, 16, 5                /* sizes of name and contents, NT_GNU_PROPERTY_TYPE_0 */
        .asciz  "GNU"
        .long   0xc0000000, 4, 1, 0     /* GNU_PROPERTY_AARCH64_FEATURE_1_AND: 4 bytes, BTI; padding */
#endif
