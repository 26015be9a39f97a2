/* SPDX-License-Identifier: MIT */
/* uint32_t registers_survive(void **save_sp, void *to_sp, uint64_t seed)
 *
 * Fills every register that a call must keep with a value of its own made from `seed` (x19 + n gets seed + n, d8 + n gets seed + 32 + n
 * as bits), switches away, and compares when it is switched back to. Returns a bit for each that changed: bit n for x19 + n (x29 is bit
 * 10), bit 16 + n for d8 + n. So 0 is good. */
        .text
        .globl  registers_survive
        .type   registers_survive, %function
        .p2align 4
registers_survive:
        hint    34                      /* bti c */
        stp     x29, x30, [sp, #-176]!
        stp     x19, x20, [sp, #16]
        stp     x21, x22, [sp, #32]
        stp     x23, x24, [sp, #48]
        stp     x25, x26, [sp, #64]
        stp     x27, x28, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        str     x2, [sp, #160]

        .irp n, 0, 1, 2, 3, 4, 5, 6, 7
        add     x9, x2, #(32 + \n)
        fmov    d\n, x9
        .endr
        fmov    d8, d0
        fmov    d9, d1
        fmov    d10, d2
        fmov    d11, d3
        fmov    d12, d4
        fmov    d13, d5
        fmov    d14, d6
        fmov    d15, d7
        mov     x19, x2
        add     x20, x2, #1
        add     x21, x2, #2
        add     x22, x2, #3
        add     x23, x2, #4
        add     x24, x2, #5
        add     x25, x2, #6
        add     x26, x2, #7
        add     x27, x2, #8
        add     x28, x2, #9
        add     x29, x2, #10

        bl      fl_context_switch

        ldr     x2, [sp, #160]
        mov     x0, #0
        .macro  differs, reg, n
        add     x9, x2, #\n
        cmp     x9, \reg
        cset    x10, ne
        orr     x0, x0, x10, lsl #\n
        .endm
        differs x19, 0
        differs x20, 1
        differs x21, 2
        differs x22, 3
        differs x23, 4
        differs x24, 5
        differs x25, 6
        differs x26, 7
        differs x27, 8
        differs x28, 9
        differs x29, 10
        .macro  differs_fp, reg, n
        add     x9, x2, #(32 + \n)
        fmov    x11, \reg
        cmp     x9, x11
        cset    x10, ne
        orr     x0, x0, x10, lsl #(16 + \n)
        .endm
        differs_fp d8, 0
        differs_fp d9, 1
        differs_fp d10, 2
        differs_fp d11, 3
        differs_fp d12, 4
        differs_fp d13, 5
        differs_fp d14, 6
        differs_fp d15, 7

        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     x29, x30, [sp], #176
        ret
        .size   registers_survive, . - registers_survive

        .section .note.GNU-stack, "", %progbits
