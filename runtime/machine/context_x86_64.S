/* SPDX-License-Identifier: MIT */
/* The switch on x86-64; context.h has the essay. A saved stack looks like this, from low to high:
 *
 *      0  MXCSR (4 bytes), x87 control word (2 bytes), unused (2 bytes)
 *      8  r15   16 r14   24 r13   32 r12   40 rbx   48 rbp
 *     56  where to go on
 */
        .text

        .globl  fl_context_switch
        .hidden fl_context_switch
        .type   fl_context_switch, @function
        .p2align 5
fl_context_switch:
        .cfi_startproc
        endbr64
        stmxcsr -56(%rsp)               /* before the pushes, into the red zone: 1 ns less than behind them */
        fnstcw  -52(%rsp)
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        movl    (%rsp), %eax
        movzwl  4(%rsp), %edx
        movq    %rsp, (%rdi)
        movq    %rsi, %rsp              /* from here on the other stack; its frame has the same shape, so the CFI holds */
        xorl    (%rsp), %eax
        testl   $0xffc0, %eax           /* only the control bits: status bits differ all the time */
        jne     .Lmxcsr
.Lmxcsr_done:
        cmpw    4(%rsp), %dx
        jne     .Lfcw
.Lfcw_done:
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret                             /* context.h says why not pop and jmp */
        .cfi_endproc
        .cfi_startproc
        .cfi_def_cfa rsp, 64
        .cfi_offset rbp, -16
        .cfi_offset rbx, -24
        .cfi_offset r12, -32
        .cfi_offset r13, -40
        .cfi_offset r14, -48
        .cfi_offset r15, -56
.Lmxcsr:
        ldmxcsr (%rsp)
        jmp     .Lmxcsr_done
.Lfcw:
        fldcw   4(%rsp)
        jmp     .Lfcw_done
        .cfi_endproc
        .size   fl_context_switch, . - fl_context_switch

        /* The one place from which tasks switch, so that every return of fl_context_switch is predicted. */
        .globl  fl_context_leave
        .hidden fl_context_leave
        .type   fl_context_leave, @function
        .p2align 4
fl_context_leave:
        .cfi_startproc
        endbr64
        pushq   %rdx
        .cfi_adjust_cfa_offset 8
        call    fl_context_switch
        popq    %rdx
        .cfi_adjust_cfa_offset -8
        jmp     *%rdx
        .cfi_endproc
        .size   fl_context_leave, . - fl_context_leave

        .globl  fl_context_make
        .hidden fl_context_make
        .type   fl_context_make, @function
        .p2align 4
fl_context_make:
        .cfi_startproc
        endbr64
        leaq    -72(%rdi), %rax         /* 64 bytes of frame; entry starts with rsp = 16 n - 8 after its call */
        leaq    .Lfirst(%rip), %rdx
        movl    $0x1f80, (%rax)         /* the defaults of the psABI: all exceptions masked, round to nearest */
        movl    $0x037f, 4(%rax)
        movq    $0, 8(%rax)
        movq    $0, 16(%rax)
        movq    $0, 24(%rax)
        movq    $0, 32(%rax)
        movq    %rsi, 40(%rax)          /* rbx: entry */
        movq    $0, 48(%rax)
        movq    %rdx, 56(%rax)
        movq    $0, 64(%rax)
        ret
        .cfi_endproc
        .size   fl_context_make, . - fl_context_make

        /* The bottom frame. Its return address is undefined: here every unwinder stops. */
        .type   fl_context_first, @function
        .p2align 4
fl_context_first:
        .cfi_startproc
        .cfi_undefined rip
        .cfi_undefined rbp
        nop                             /* unwinders look up the address before the return address */
.Lfirst:
        endbr64
        subq    $8, %rsp                /* top - 16 */
        callq   *%rbx
        ud2
        .cfi_endproc
        .size   fl_context_first, . - fl_context_first

        .section .note.GNU-stack, "", @progbits
