/* SPDX-License-Identifier: MIT */
/* From a copy of a stack to the calls on it.
 *
 * A walk goes from frame to frame. What it knows of a frame is the program counter, the stack pointer, and those registers that it could
 * follow: of a thread that sleeps it begins with no more than these two. Each step is the first of these that is possible:
 *
 *   tables   The CFI of the module says where the caller's registers are (libdw reads the tables; the expressions are worked out here,
 *            because they may only read the copy, and because a register may be unknown). The end is a return address that is undefined
 *            (fl_context_first, the first function of a thread), or 0.
 *   anchor   On x86-64 the tables of a function with a frame pointer want rbp, which is unknown where the calls above have not saved it:
 *            most system calls of libc. Then it is found by the function itself: its prologue tells how far rbp is above the stack pointer,
 *            because between calls both stand still. It is believed if a return address lies there, and the call before that, if it is a
 *            direct one, is to this very function. This is as sure as the tables. If that call is to another one (which may have ended in a
 *            jump to this), it is a guess. If there is no return address (alloca, the sanitizers' aligned frames), the first one above
 *            whose call is to this function will do, as a guess.
 *   scan     No tables (libdw is missing, code that was compiled at run time), or they are of no use: the next word that is a return
 *            address by its looks, that points behind a call instruction into a module. It may be left over from a call that has long
 *            returned: a guess. From there tables are tried again.
 *
 * All that comes after a guess counts as one. Every read of the stack is one of the copy, within its bounds, and the stack pointer of each
 * frame is above that of the one before: so a walk ends whatever it reads.
 *
 * Sources: DWARF 5, 6.4; System V psABI for x86-64; AAPCS64; elfutils' libdw.h and libdwfl.h. */
#include "machine/unwind.h"

#include "machine/code.h"
#include "machine/module.h"
#include "machine/peek.h"

#include <stdlib.h>
#include <string.h>

#if FL_LIBDW
#include <dwarf.h>
#include <elfutils/libdw.h>
#endif

#define PROLOGUE 96 /* bytes */

enum step { MORE, END, LOST };

struct walk {
    const struct fl_snapshot *snapshot;
    uintptr_t pc;
    bool exact, guess;
    uint64_t known; /* and regs: as in struct fl_snapshot, of this frame */
    uint64_t regs[FL_UNWIND_REGS];
};

static bool load(const struct walk *walk, uintptr_t address, uint64_t *ret_word)
{
    const struct fl_snapshot *snapshot = walk->snapshot;
    if (address < snapshot->low || address >= snapshot->high || snapshot->high - address < 8)
        return false;
    memcpy(ret_word, (const char *)snapshot->words + (address - snapshot->low), sizeof *ret_word);
    return true;
}

static void set(struct walk *walk, unsigned reg, uint64_t value)
{
    walk->regs[reg] = value;
    walk->known |= UINT64_C(1) << reg;
}

static enum step scan(struct walk *walk)
{
    uint64_t word, fp;
    uintptr_t target, end = walk->snapshot->high;
    for (uintptr_t at = (walk->regs[FL_UNWIND_SP] + 7) & ~UINT64_C(7); load(walk, at, &word); at += 8) {
        if (!fl_code_is_return(fl_code_plain(word), &target))
            continue;
        walk->pc = fl_code_plain(word);
        walk->exact = false;
        walk->guess = true;
        walk->known = 0;
        set(walk, FL_UNWIND_SP, at + 8);
        if (load(walk, at - 8, &fp) && fp > at && fp < end && fp % 16 == 0)
            set(walk, FL_UNWIND_FP, fp);
        return MORE;
    }
    return END;
}

#if FL_LIBDW
static bool has(const struct walk *walk, unsigned reg)
{
    return reg < FL_UNWIND_REGS && (walk->known & UINT64_C(1) << reg);
}

/* Works out a location or a value. *ret_value: the value if *ret_is_value, else the address where it is. */
static bool evaluate(const struct walk *walk, const Dwarf_Op *ops, size_t count, const uint64_t *cfa, uint64_t *ret_value,
                     bool *ret_is_value)
{
    uint64_t stack[16], a, b;
    unsigned depth = 0;
    *ret_is_value = false;
    for (size_t i = 0; i < count; i++) {
        const Dwarf_Op *op = &ops[i];
        unsigned atom = op->atom, reg;
        if (depth > sizeof stack / sizeof *stack - 2)
            return false;
        if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31) {
            stack[depth++] = atom - DW_OP_lit0;
            continue;
        }
        if ((atom >= DW_OP_reg0 && atom <= DW_OP_reg31) || atom == DW_OP_regx) {
            reg = atom == DW_OP_regx ? (unsigned)op->number : atom - DW_OP_reg0;
            if (!has(walk, reg))
                return false;
            stack[depth++] = walk->regs[reg];
            *ret_is_value = true;
            continue;
        }
        if ((atom >= DW_OP_breg0 && atom <= DW_OP_breg31) || atom == DW_OP_bregx) {
            reg = atom == DW_OP_bregx ? (unsigned)op->number : atom - DW_OP_breg0;
            if (!has(walk, reg))
                return false;
            stack[depth++] = walk->regs[reg] + (atom == DW_OP_bregx ? op->number2 : op->number);
            continue;
        }
        switch (atom) {
        case DW_OP_const1u:
        case DW_OP_const1s:
        case DW_OP_const2u:
        case DW_OP_const2s:
        case DW_OP_const4u:
        case DW_OP_const4s:
        case DW_OP_const8u:
        case DW_OP_const8s:
        case DW_OP_constu:
        case DW_OP_consts:
            stack[depth++] = op->number;
            continue;
        case DW_OP_call_frame_cfa:
            if (!cfa)
                return false;
            stack[depth++] = *cfa;
            continue;
        case DW_OP_nop:
            continue;
        case DW_OP_stack_value:
            *ret_is_value = true;
            continue;
        }
        if (depth < 1)
            return false;
        a = stack[depth - 1];
        switch (atom) {
        case DW_OP_dup:
            stack[depth++] = a;
            continue;
        case DW_OP_drop:
            depth--;
            continue;
        case DW_OP_deref:
            if (!load(walk, a, &stack[depth - 1]))
                return false;
            continue;
        case DW_OP_plus_uconst:
            stack[depth - 1] = a + op->number;
            continue;
        case DW_OP_neg:
            stack[depth - 1] = -a;
            continue;
        case DW_OP_not:
            stack[depth - 1] = ~a;
            continue;
        }
        if (depth < 2)
            return false;
        b = stack[--depth - 1];
        switch (atom) {
        case DW_OP_plus:
            a = b + a;
            break;
        case DW_OP_minus:
            a = b - a;
            break;
        case DW_OP_mul:
            a = b * a;
            break;
        case DW_OP_and:
            a = b & a;
            break;
        case DW_OP_or:
            a = b | a;
            break;
        case DW_OP_xor:
            a = b ^ a;
            break;
        case DW_OP_shl:
            a = a < 64 ? b << a : 0;
            break;
        case DW_OP_shr:
            a = a < 64 ? b >> a : 0;
            break;
        case DW_OP_eq:
            a = b == a;
            break;
        case DW_OP_ne:
            a = b != a;
            break;
        case DW_OP_ge:
            a = (int64_t)b >= (int64_t)a;
            break;
        case DW_OP_gt:
            a = (int64_t)b > (int64_t)a;
            break;
        case DW_OP_le:
            a = (int64_t)b <= (int64_t)a;
            break;
        case DW_OP_lt:
            a = (int64_t)b < (int64_t)a;
            break;
        default:
            return false;
        }
        stack[depth - 1] = a;
    }
    if (depth == 0)
        return false;
    *ret_value = stack[depth - 1];
    return true;
}

static Dwarf_Frame *frame_of(Dwfl_Module *module, uintptr_t pc)
{
    Dwarf_Addr bias;
    Dwarf_Frame *frame = NULL;
    Dwarf_CFI *cfi = dwfl_module_eh_cfi(module, &bias);
    if (cfi && dwarf_cfi_addrframe(cfi, pc - bias, &frame) == 0)
        return frame;
    cfi = dwfl_module_dwarf_cfi(module, &bias);
    return cfi && dwarf_cfi_addrframe(cfi, pc - bias, &frame) == 0 ? frame : NULL;
}

#if defined(__x86_64__)
/* How far rbp is above rsp at a call, by the code at the function's beginning. */
static uint64_t frame_size(Dwarf_Frame *frame, uintptr_t function, uintptr_t pc)
{
    static const int saved[] = {3, 12, 13, 14, 15};
    unsigned char code[PROLOGUE];
    int64_t deepest = -16; /* from the CFA: rbp lies there */
    for (size_t i = 0; i < sizeof saved / sizeof *saved; i++) {
        Dwarf_Op mem[3], *ops;
        size_t count;
        if (dwarf_frame_register(frame, saved[i], mem, &ops, &count) == 0 && count == 2 && ops[0].atom == DW_OP_call_frame_cfa &&
            ops[1].atom == DW_OP_plus_uconst && (int64_t)ops[1].number < deepest)
            deepest = (int64_t)ops[1].number;
    }
    size_t size = pc - function < PROLOGUE ? pc - function : PROLOGUE;
    int32_t room = 0;
    if (!fl_peek(code, (const void *)function, size))
        return 0;
    size_t start = size > 4 && memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0 ? 4 : 0; /* endbr64 */
    int64_t pushed = -16;
    if (start + 4 <= size &&
        memcmp(&code[start], "\x55\x48\x89\xe5", 4) == 0) /* push %rbp, mov %rsp, %rbp: those behind may save nothing, and only make room */
        for (size_t i = start + 4; i + 1 < size; i++) {
            i += code[i] == 0x41;
            if ((code[i] & 0xf8) != 0x50)
                break;
            pushed -= 8;
        }
    deepest = pushed < deepest ? pushed : deepest;
    for (size_t i = start; i + 7 <= size; i++) {
        if (memcmp(&code[i], "\x48\x83\xec", 3) == 0) { /* sub $room, %rsp */
            room = (signed char)code[i + 3];
            break;
        }
        if (memcmp(&code[i], "\x48\x81\xec", 3) == 0) {
            memcpy(&room, &code[i + 3], sizeof room);
            break;
        }
    }
    return (uint64_t)(-16 - deepest) + (uint64_t)(room > 0 ? room : 0);
}

enum fit { NONE, ANY, UNKNOWN, EXACT }; /* what calls there: nothing; another function; who knows; this one */

static enum fit fit_of(const struct walk *walk, uintptr_t at, uintptr_t function)
{
    uint64_t word;
    uintptr_t target;
    if (at % 16 != 0 || !load(walk, at + 8, &word) || !fl_code_is_return(word, &target))
        return NONE;
    return target == function ? EXACT : target == 0 ? UNKNOWN : ANY;
}

/* Finds rbp. See the essay. */
static bool anchor(struct walk *walk, Dwfl_Module *module, Dwarf_Frame *frame, uintptr_t lookup)
{
    GElf_Sym symbol;
    GElf_Off offset;
    uint64_t word;
    const char *name = dwfl_module_addrinfo(module, lookup, &offset, &symbol, NULL, NULL, NULL);
    if (!name || offset >= symbol.st_size)
        return false;
    uintptr_t function = lookup - offset, sp = walk->regs[FL_UNWIND_SP];
    uintptr_t at = sp + frame_size(frame, function, lookup);
    enum fit fit = fit_of(walk, at, function);
    if (fit == NONE) {
        at = (sp + 15) & ~(uintptr_t)15;
        while (load(walk, at, &word) && fit_of(walk, at, function) != EXACT)
            at += 16;
        if (!load(walk, at, &word))
            return false;
    }
    walk->guess = walk->guess || fit == NONE || fit == ANY;
    set(walk, FL_UNWIND_FP, at);
    return true;
}
#else
static bool anchor(struct walk *walk, Dwfl_Module *module, Dwarf_Frame *frame, uintptr_t lookup)
{
    (void)walk, (void)module, (void)frame, (void)lookup;
    return false;
}
#endif

static bool find_cfa(struct walk *walk, Dwfl_Module *module, Dwarf_Frame *frame, uintptr_t lookup, uint64_t *ret_cfa)
{
    Dwarf_Op *ops;
    size_t count;
    bool is_value;
    if (dwarf_frame_cfa(frame, &ops, &count) != 0 || count == 0)
        return false;
    if (evaluate(walk, ops, count, NULL, ret_cfa, &is_value))
        return true;
    return !has(walk, FL_UNWIND_FP) && anchor(walk, module, frame, lookup) && evaluate(walk, ops, count, NULL, ret_cfa, &is_value);
}

/* The caller's register. @return false: it is not known; *ret_undefined: and never will be */
static bool find_register(const struct walk *walk, Dwarf_Frame *frame, unsigned reg, uint64_t cfa, uint64_t *ret_value, bool *ret_undefined)
{
    Dwarf_Op mem[3], *ops;
    size_t count;
    bool is_value;
    *ret_undefined = false;
    if (dwarf_frame_register(frame, (int)reg, mem, &ops, &count) != 0)
        return false;
    if (count == 0 && ops) {
        *ret_undefined = true;
        return false;
    }
    if (count == 0) {
        *ret_value = walk->regs[reg];
        return has(walk, reg);
    }
    return evaluate(walk, ops, count, &cfa, ret_value, &is_value) && (is_value || load(walk, *ret_value, ret_value));
}

static enum step by_frame(struct walk *walk, Dwfl_Module *module, Dwarf_Frame *frame, uintptr_t lookup)
{
    struct walk caller = {.snapshot = walk->snapshot};
    bool undefined, signal_frame = false;
    uint64_t cfa = 0, value;
    int ra = dwarf_frame_info(frame, NULL, NULL, &signal_frame);
    if (ra < 0 || ra >= FL_UNWIND_REGS)
        return LOST;
    uint64_t sp = walk->regs[FL_UNWIND_SP];
    find_register(walk, frame, (unsigned)ra, cfa, &value, &undefined);
    if (undefined)
        return END;
    if (!find_cfa(walk, module, frame, lookup, &cfa) || cfa < sp || cfa > walk->snapshot->high)
        return LOST;
    for (unsigned reg = 0; reg < FL_UNWIND_REGS; reg++)
        if (find_register(walk, frame, reg, cfa, &value, &undefined))
            set(&caller, reg, value);
    if (!has(&caller, (unsigned)ra))
        return LOST;
    if (!signal_frame)
        set(&caller, FL_UNWIND_SP, cfa);
    caller.pc = fl_code_plain(caller.regs[ra]);
    if (caller.pc == 0)
        return walk->guess ? LOST : END;
    /* A frame without room of its own is one whose return address is in a register: AArch64, and only the innermost, or that below a signal. */
    bool still = caller.regs[FL_UNWIND_SP] == sp;
    if (!has(&caller, FL_UNWIND_SP) || caller.regs[FL_UNWIND_SP] < sp || (still && !walk->exact && walk->pc != walk->snapshot->pc) ||
        !fl_module_of(caller.pc - 1))
        return LOST;
    caller.exact = signal_frame;
    caller.guess = walk->guess;
    *walk = caller;
    return MORE;
}

static enum step by_tables(struct walk *walk)
{
    uintptr_t lookup = walk->pc - !walk->exact;
    Dwfl_Module *module = fl_module_dwfl(lookup);
    Dwarf_Frame *frame = module ? frame_of(module, lookup) : NULL;
    enum step step = frame ? by_frame(walk, module, frame, lookup) : LOST;
    free(frame);
    return step;
}
#else
static enum step by_tables(struct walk *walk)
{
    (void)walk;
    return LOST;
}
#endif

size_t fl_unwind(const struct fl_snapshot *snapshot, void **ret_pcs, size_t max, size_t *ret_sure)
{
    size_t count = 0, sure = 0;
    struct walk walk = {.snapshot = snapshot, .pc = snapshot->pc, .exact = snapshot->exact, .known = snapshot->known};
    enum step step = MORE;
    memcpy(walk.regs, snapshot->regs, sizeof walk.regs);
    fl_modules_know();
    while (count < max && step == MORE) {
        ret_pcs[count++] = (void *)(walk.pc + walk.exact);
        sure += !walk.guess;
        step = by_tables(&walk);
        if (step == LOST)
            step = scan(&walk);
    }
    *ret_sure = sure;
    return count;
}
