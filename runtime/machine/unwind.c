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
 * frame is above that of the one before: so a walk ends whatever it reads. Code is read by fl_unwind_peek, because a module may be unloaded
 * meanwhile.
 *
 * Modules come from dl_iterate_phdr(3), read again only when its counters say that some have come or gone. It takes a lock of the loader
 * that is held for moments only; dladdr(3) takes the one that a dlopen(3) holds as long as it runs constructors or waits for a disk, and a
 * thread there may be the very one that is looked at. libdw reads the modules' files. Debug information is looked for on this machine only:
 * never by debuginfod, which would wait for the network.
 *
 * Whether libdw is there is Meson's option `backtrace`. Without it a symbol is the nearest dynamic one.
 *
 * Sources: DWARF 5, 6.4; System V psABI for x86-64; AAPCS64; elfutils' libdw.h and libdwfl.h. */
#include "machine/unwind.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef FL_LIBDW
#define FL_LIBDW 0
#endif

#if FL_LIBDW
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#endif

#define MODULES 256
#define PROLOGUE 96 /* bytes */
#define BUILD_ID 20 /* bytes of it that are compared */

/* ---- memory that may be gone ---- */

/* Where process_vm_readv(2) is forbidden: write(2) into a pipe fails where a load would fault. System calls without their wrappers, because
 * a sanitizer takes those for accesses by this thread. */
static bool peek_by_pipe(char *to, uintptr_t from, size_t size)
{
    int fds[2];
    bool good = true;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    while (good && size > 0) {
        long part = size < 4096 ? (long)size : 4096;
        good = syscall(SYS_write, (long)fds[1], from, part) == part && syscall(SYS_read, (long)fds[0], to, part) == part;
        to += part;
        from += (uintptr_t)part;
        size -= (size_t)part;
    }
    close(fds[0]);
    close(fds[1]);
    return good;
}

bool fl_unwind_peek(void *to, uintptr_t from, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)from, size};
    long n = syscall(SYS_process_vm_readv, (long)getpid(), &local, 1L, &remote, 1L,
                     0L); /* an int on the stack would have half a word of garbage above it */
    return n == (long)size || (n < 0 && (errno == EPERM || errno == ENOSYS) && peek_by_pipe(to, from, size));
}

/* ---- modules ---- */

struct module {
    uintptr_t start, end; /* of its code */
    uintptr_t bias;       /* what to add to an address in its file */
    char name[32];        /* the last part */
    char *path;
    unsigned char build_id[BUILD_ID];
    size_t build_id_size; /* 0: it has none */
#if FL_LIBDW
    Dwfl_Module *dwfl; /* NULL: its file cannot be read, or is another one by now */
#endif
};

static struct module modules[MODULES];
static unsigned module_count;
static unsigned long long adds, subs;

#if FL_LIBDW
static void report_modules(void);
#else
static void report_modules(void)
{
}
#endif

static int count_changes(struct dl_phdr_info *info, size_t size, void *arg)
{
    bool *ret_changed = arg;
    (void)size;
    *ret_changed = info->dlpi_adds != adds || info->dlpi_subs != subs || module_count == 0;
    return 1;
}

/* What tells a build from another, if it is among these notes in memory. */
static void note_build_id(struct module *module, const char *at, size_t size)
{
    for (ElfW(Nhdr) note; size >= sizeof note;
         at += sizeof note + note.n_namesz + note.n_descsz, size -= sizeof note + note.n_namesz + note.n_descsz) {
        memcpy(&note, at, sizeof note);
        note.n_namesz = (note.n_namesz + 3) & ~3u; /* as far as each reaches */
        uint32_t wanted = note.n_descsz < BUILD_ID ? note.n_descsz : BUILD_ID;
        note.n_descsz = (note.n_descsz + 3) & ~3u;
        if (note.n_namesz > size || note.n_descsz > size || sizeof note + note.n_namesz + note.n_descsz > size)
            return;
        if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || memcmp(at + sizeof note, "GNU", 4) != 0)
            continue;
        memcpy(module->build_id, at + sizeof note + 4, wanted);
        module->build_id_size = wanted;
        return;
    }
}

static bool is_loaded(const struct dl_phdr_info *info, uintptr_t start, uintptr_t end)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && part->p_flags & PF_R && start >= low && end >= start && end <= low + part->p_filesz)
            return true;
    }
    return false;
}

static int note_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size, (void)arg;
    struct module *module = &modules[module_count];
    adds = info->dlpi_adds;
    subs = info->dlpi_subs;
    if (module_count == MODULES)
        return 1;
    *module = (struct module){.start = UINTPTR_MAX, .bias = info->dlpi_addr};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr, end = start + part->p_memsz;
        if (part->p_type == PT_NOTE && module->build_id_size == 0 && is_loaded(info, start, end))
            note_build_id(module, (const char *)start, part->p_memsz);
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        module->start = start < module->start ? start : module->start;
        module->end = end > module->end ? end : module->end;
    }
    bool program = !info->dlpi_name || !info->dlpi_name[0];
    if (module->end == 0 || !(module->path = strdup(program ? "/proc/self/exe" : info->dlpi_name)))
        return 0;
    const char *name = program ? program_invocation_short_name : module->path, *slash = strrchr(name, '/');
    snprintf(module->name, sizeof module->name, "%.31s", slash ? slash + 1 : name);
    module_count++;
    return 0;
}

static void know_modules(void)
{
    bool changed = true;
    dl_iterate_phdr(count_changes, &changed);
    if (!changed)
        return;
    while (module_count > 0)
        free(modules[--module_count].path);
    dl_iterate_phdr(note_module, NULL);
    report_modules();
}

static struct module *module_of(uintptr_t pc)
{
    for (unsigned i = 0; i < module_count; i++)
        if (pc >= modules[i].start && pc < modules[i].end)
            return &modules[i];
    return NULL;
}

/* ---- code ---- */

#if defined(__x86_64__)
/* A stub of the procedure linkage table, "endbr64; bnd jmp *slot(%rip)" or less, goes where its slot says. */
static uintptr_t behind_plt(uintptr_t target)
{
    unsigned char code[16];
    int32_t offset;
    uintptr_t to;
    size_t at = 0;
    if (!fl_unwind_peek(code, target, sizeof code))
        return target;
    if (memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0)
        at = 4;
    at += code[at] == 0xf2;
    if (code[at] != 0xff || code[at + 1] != 0x25)
        return target;
    memcpy(&offset, &code[at + 2], sizeof offset);
    return fl_unwind_peek(&to, target + at + 6 + (uintptr_t)(intptr_t)offset, sizeof to) ? to : 0;
}
#endif

/* Whether an address is one that a call returns to. *ret_target: the function called; 0: not known */
static bool is_return(uintptr_t pc, uintptr_t *ret_target)
{
    *ret_target = 0;
    if (pc < 4096 || !module_of(pc - 1))
        return false;
#if defined(__x86_64__)
    unsigned char code[8];
    int32_t offset;
    if (!fl_unwind_peek(code, pc - 8, sizeof code))
        return false;
    if (code[3] == 0xe8) {
        memcpy(&offset, &code[4], sizeof offset);
        uintptr_t target = pc + (uintptr_t)(intptr_t)offset;
        if (module_of(target)) {
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
    if (pc % 4 != 0 || !fl_unwind_peek(&code, pc - 4, sizeof code))
        return false;
    if ((code & 0xfc000000) == 0x94000000) { /* bl */
        *ret_target = pc - 4 + (uintptr_t)((int64_t)((uint64_t)code << 38) >> 36);
        return module_of(*ret_target);
    }
    return (code & 0xfffffc1f) == 0xd63f0000 || (code & 0xfefff800) == 0xd63f0800; /* blr, blraa and its kin */
#endif
}

/* AArch64 may sign return addresses in their upper bits. */
static uintptr_t plain(uint64_t address)
{
#if defined(__aarch64__)
    register uint64_t x30 __asm__("x30") = address;
    __asm__("hint 7" : "+r"(x30)); /* xpaclri; a no-op on a CPU that does not sign */
    return x30;
#else
    return address;
#endif
}

/* ---- a walk ---- */

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
        if (!is_return(plain(word), &target))
            continue;
        walk->pc = plain(word);
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
static Dwfl *dwfl;

static bool has(const struct walk *walk, unsigned reg)
{
    return reg < FL_UNWIND_REGS && (walk->known & UINT64_C(1) << reg);
}

/* The vDSO has no file: this is the one module whose file is asked for. */
static int find_elf(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base, char **ret_file, Elf **ret_elf)
{
    static char *copy; /* there is one vDSO */
    Dwarf_Addr start, end;
    (void)userdata, (void)name, (void)base, (void)ret_file;
    dwfl_module_info(module, NULL, &start, &end, NULL, NULL, NULL, NULL);
    if (!copy && (copy = malloc(end - start)) && !fl_unwind_peek(copy, start, end - start)) {
        free(copy);
        copy = NULL;
    }
    if (copy)
        *ret_elf = elf_memory(copy, end - start);
    return -1;
}

static int find_debuginfo(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base, const char *file, const char *link,
                          GElf_Word crc, char **ret_file)
{
    (void)link, (void)crc;
    return dwfl_build_id_find_debuginfo(module, userdata, name, base, file, NULL, 0, ret_file);
}

/* A library may have been replaced in its folder since it was loaded. */
static bool is_same_build(const struct module *module)
{
    Dwarf_Addr bias;
    GElf_Addr address;
    const unsigned char *id;
    if (module->build_id_size == 0)
        return true;
    if (!dwfl_module_getelf(module->dwfl, &bias))
        return false;
    int size = dwfl_module_build_id(module->dwfl, &id, &address);
    return size >= (int)module->build_id_size && memcmp(id, module->build_id, module->build_id_size) == 0;
}

static void report_modules(void)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = find_elf, .find_debuginfo = find_debuginfo};
    uintptr_t vdso = getauxval(AT_SYSINFO_EHDR), page = (uintptr_t)sysconf(_SC_PAGESIZE);
    if (dwfl)
        dwfl_end(dwfl);
    if (!(dwfl = dwfl_begin(&callbacks)))
        return;
    dwfl_report_begin(dwfl);
    for (unsigned i = 0; i < module_count; i++) {
        struct module *module = &modules[i];
        if (vdso && module->start <= vdso && vdso < module->end)
            module->dwfl = dwfl_report_module(dwfl, module->name, vdso, (module->end + page - 1) & ~(page - 1));
        else
            module->dwfl = dwfl_report_elf(dwfl, module->path, module->path, -1, module->bias, true);
    }
    dwfl_report_end(dwfl, NULL, NULL);
    for (unsigned i = 0; i < module_count; i++)
        if (modules[i].dwfl && !is_same_build(&modules[i]))
            modules[i].dwfl = NULL;
}

static Dwfl_Module *dwfl_of(uintptr_t pc)
{
    const struct module *module = dwfl ? module_of(pc) : NULL;
    return module ? module->dwfl : NULL;
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
    if (!fl_unwind_peek(code, function, size))
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
    if (at % 16 != 0 || !load(walk, at + 8, &word) || !is_return(word, &target))
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
    caller.pc = plain(caller.regs[ra]);
    if (caller.pc == 0)
        return walk->guess ? LOST : END;
    /* A frame without room of its own is one whose return address is in a register: AArch64, and only the innermost, or that below a signal. */
    bool still = caller.regs[FL_UNWIND_SP] == sp;
    if (!has(&caller, FL_UNWIND_SP) || caller.regs[FL_UNWIND_SP] < sp || (still && !walk->exact && walk->pc != walk->snapshot->pc) ||
        !module_of(caller.pc - 1))
        return LOST;
    caller.exact = signal_frame;
    caller.guess = walk->guess;
    *walk = caller;
    return MORE;
}

static enum step by_tables(struct walk *walk)
{
    uintptr_t lookup = walk->pc - !walk->exact;
    Dwfl_Module *module = dwfl_of(lookup);
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
    know_modules();
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

/* ---- symbols ---- */

#if FL_LIBDW
/* The quick way goes by .debug_aranges, which clang does not make: then all units are asked. */
static const char *find_line(Dwfl_Module *module, uintptr_t lookup, int *ret_line)
{
    Dwarf_Addr bias;
    Dwfl_Line *known = dwfl_module_getsrc(module, lookup);
    if (known)
        return dwfl_lineinfo(known, NULL, ret_line, NULL, NULL, NULL);
    for (Dwarf_Die *unit = NULL; (unit = dwfl_module_nextcu(module, unit, &bias));) {
        Dwarf_Line *line = dwarf_haspc(unit, lookup - bias) == 1 ? dwarf_getsrc_die(unit, lookup - bias) : NULL;
        if (line && dwarf_lineno(line, ret_line) == 0)
            return dwarf_linesrc(line, NULL, NULL);
    }
    return NULL;
}

static bool find_symbol(uintptr_t lookup, const char **ret_name, uintptr_t *ret_start, const char **ret_file, int *ret_line)
{
    GElf_Sym symbol;
    GElf_Off offset;
    Dwfl_Module *module = dwfl_of(lookup);
    const char *name = module ? dwfl_module_addrinfo(module, lookup, &offset, &symbol, NULL, NULL, NULL) : NULL;
    if (!name || (symbol.st_size > 0 && offset >= symbol.st_size))
        return false;
    *ret_name = name;
    *ret_start = lookup - offset;
    *ret_file = find_line(module, lookup, ret_line);
    return true;
}
#else
struct search {
    uintptr_t pc, start;
    char name[128];
};

/* How many symbols the table has: the old hash table says it, in the new one it is behind the end of the last chain. */
static size_t count_symbols(const uint32_t *hash, const uint32_t *gnu_hash)
{
    if (hash)
        return hash[1];
    if (!gnu_hash)
        return 0;
    uint32_t buckets = gnu_hash[0], first = gnu_hash[1], last = 0;
    const uint32_t *bucket = gnu_hash + 4 + gnu_hash[2] * (sizeof(ElfW(Addr)) / 4), *chain = bucket + buckets;
    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    if (last < first)
        return first;
    while (!(chain[last - first] & 1))
        last++;
    return (size_t)last + 1;
}

/* The loader keeps modules from going as long as this runs. */
static int search_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct search *search = arg;
    const ElfW(Dyn) *dynamic = NULL;
    bool here = false;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        here = here || (part->p_type == PT_LOAD && search->pc >= start && search->pc < start + part->p_memsz);
        if (part->p_type == PT_DYNAMIC)
            dynamic = (const void *)start;
    }
    if (!here || !dynamic)
        return here;
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *hash = NULL, *gnu_hash = NULL;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        uintptr_t value = dynamic->d_un.d_ptr; /* absolute, but for the vDSO, which the loader does not write to */
        value += value < info->dlpi_addr ? info->dlpi_addr : 0;
        const void *at = (const void *)value;
        symbols = dynamic->d_tag == DT_SYMTAB ? at : symbols;
        strings = dynamic->d_tag == DT_STRTAB ? at : strings;
        hash = dynamic->d_tag == DT_HASH ? at : hash;
        gnu_hash = dynamic->d_tag == DT_GNU_HASH ? at : gnu_hash;
    }
    size_t count = symbols && strings ? count_symbols(hash, gnu_hash) : 0;
    for (size_t i = 0; i < count; i++) {
        uintptr_t start = info->dlpi_addr + symbols[i].st_value;
        if (ELF64_ST_TYPE(symbols[i].st_info) != STT_FUNC || symbols[i].st_shndx == SHN_UNDEF || search->pc < start ||
            search->pc - start >= symbols[i].st_size)
            continue;
        search->start = start;
        snprintf(search->name, sizeof search->name, "%s", strings + symbols[i].st_name);
        break;
    }
    return 1;
}

static bool find_symbol(uintptr_t lookup, const char **ret_name, uintptr_t *ret_start, const char **ret_file, int *ret_line)
{
    static struct search search;
    search = (struct search){.pc = lookup};
    (void)ret_line;
    dl_iterate_phdr(search_module, &search);
    *ret_name = search.name;
    *ret_start = search.start;
    *ret_file = NULL;
    return search.start != 0;
}
#endif

/* Without the version that the name may have behind an @. */
static int length_of(const char *name)
{
    return (int)strcspn(name, "@");
}

void fl_unwind_symbol(uintptr_t pc, char *text, size_t size)
{
    const char *name = NULL, *file = NULL;
    uintptr_t start = 0;
    int line = 0;
    know_modules();
    const struct module *module = module_of(pc - 1);
    if (!module) {
        snprintf(text, size, "0x%lx", (unsigned long)pc);
    } else if (!find_symbol(pc - 1, &name, &start, &file, &line)) {
        snprintf(text, size, "%s+0x%lx", module->name, (unsigned long)(pc - module->bias));
    } else if (file) {
        const char *slash = strrchr(file, '/');
        snprintf(text, size, "%.*s+0x%lx (%s:%d)", length_of(name), name, (unsigned long)(pc - start), slash ? slash + 1 : file, line);
    } else {
        snprintf(text, size, "%.*s+0x%lx (%s)", length_of(name), name, (unsigned long)(pc - start), module->name);
    }
}
