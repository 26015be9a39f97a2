/* SPDX-License-Identifier: MIT */
/* A return address is known by the call before it: its bytes, and that they lie in a module. A direct call also says which function is
 * called, through a stub of the procedure linkage table if need be.
 *
 * Code is read by fl_peek, because a module may be unloaded meanwhile.
 *
 * Sources: Intel SDM, volume 2, CALL; Arm ARM, BL and BLR. */
#include "machine/code.h"

#include "machine/module.h"
#include "machine/peek.h"

#include <string.h>

#if defined(__x86_64__)
/* A stub of the procedure linkage table, "endbr64; bnd jmp *slot(%rip)" or less, goes where its slot says. */
static uintptr_t behind_plt(uintptr_t target)
{
    unsigned char code[16];
    int32_t offset;
    uintptr_t to;
    size_t at = 0;
    if (!fl_peek(code, (const void *)target, sizeof code))
        return target;
    if (memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0)
        at = 4;
    at += code[at] == 0xf2;
    if (code[at] != 0xff || code[at + 1] != 0x25)
        return target;
    memcpy(&offset, &code[at + 2], sizeof offset);
    return fl_peek(&to, (const void *)(target + at + 6 + (uintptr_t)(intptr_t)offset), sizeof to) ? to : 0;
}
#endif

bool fl_code_is_return(uintptr_t pc, uintptr_t *ret_target)
{
    *ret_target = 0;
    if (pc < 4096 || !fl_module_of(pc - 1))
        return false;
#if defined(__x86_64__)
    unsigned char code[8];
    int32_t offset;
    if (!fl_peek(code, (const void *)(pc - 8), sizeof code))
        return false;
    if (code[3] == 0xe8) {
        memcpy(&offset, &code[4], sizeof offset);
        uintptr_t target = pc + (uintptr_t)(intptr_t)offset;
        if (fl_module_of(target)) {
            *ret_target = behind_plt(target);
            return true;
        }
    }
    for (unsigned length = 2; length <= 7; length++) { /* ff /2, with what its second byte says to follow */
        const unsigned char *at = &code[8 - length];
        unsigned mod = at[1] >> 6, base = at[1] & 7, want = 2;
        if (length == 5 || at[0] != 0xff || (at[1] >> 3 & 7) != 2)
            continue;
        if (mod != 3 && base == 4) {
            want++;
            if (length >= 3 && mod == 0 && (at[2] & 7) == 5)
                want += 4;
        }
        want += mod == 1 ? 1 : mod == 2 || (mod == 0 && base == 5) ? 4 : 0;
        if (want == length)
            return true;
    }
    return false;
#else
    uint32_t code;
    if (pc % 4 != 0 || !fl_peek(&code, (const void *)(pc - 4), sizeof code))
        return false;
    if ((code & 0xfc000000) == 0x94000000) { /* bl */
        *ret_target = pc - 4 + (uintptr_t)((int64_t)((uint64_t)code << 38) >> 36);
        return fl_module_of(*ret_target);
    }
    return (code & 0xfffffc1f) == 0xd63f0000 || (code & 0xfefff800) == 0xd63f0800; /* blr, blraa and its kin */
#endif
}

uintptr_t fl_code_plain(uint64_t address)
{
#if defined(__aarch64__)
    register uint64_t x30 __asm__("x30") = address;
    __asm__("hint 7" : "+r"(x30)); /* xpaclri; a no-op on a CPU that does not sign */
    return x30;
#else
    return address;
#endif
}
