/* SPDX-License-Identifier: MIT */
/* Which code is where in this process.
 *
 * Modules come from dl_iterate_phdr(3), read again only when its counters say that some have come or gone. It takes a lock of the loader
 * that is held for moments only; dladdr(3) takes the one that a dlopen(3) holds as long as it runs constructors or waits for a disk, and a
 * thread there may be the very one that is looked at.
 *
 * libdw reads the modules' files. A file that has been replaced since it was loaded has another build ID than the notes in memory: it is not
 * believed. Debug information is looked for on this machine only: never by debuginfod, which would wait for the network.
 *
 * Whether libdw is there is Meson's option `backtrace`. */
#include "machine/module.h"

#include "machine/peek.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define MODULES 256

static struct fl_module modules[MODULES];
static unsigned module_count;
static unsigned long long adds, subs;

#if FL_LIBDW
static Dwfl *dwfl;

/* The vDSO has no file: this is the one module whose file is asked for. */
static int find_elf(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base, char **ret_file, Elf **ret_elf)
{
    static char *copy; /* there is one vDSO */
    Dwarf_Addr start, end;
    (void)userdata, (void)name, (void)base, (void)ret_file;
    dwfl_module_info(module, NULL, &start, &end, NULL, NULL, NULL, NULL);
    if (!copy && (copy = malloc(end - start)) && !fl_peek(copy, (const void *)start, end - start)) {
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
static bool is_same_build(const struct fl_module *module)
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
        struct fl_module *module = &modules[i];
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
static void note_build_id(struct fl_module *module, const char *at, size_t size)
{
    for (ElfW(Nhdr) note; size >= sizeof note;
         at += sizeof note + note.n_namesz + note.n_descsz, size -= sizeof note + note.n_namesz + note.n_descsz) {
        memcpy(&note, at, sizeof note);
        note.n_namesz = (note.n_namesz + 3) & ~3u; /* as far as each reaches */
        uint32_t wanted = note.n_descsz < FL_BUILD_ID ? note.n_descsz : FL_BUILD_ID;
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
    struct fl_module *module = &modules[module_count];
    adds = info->dlpi_adds;
    subs = info->dlpi_subs;
    if (module_count == MODULES)
        return 1;
    *module = (struct fl_module){.start = UINTPTR_MAX, .bias = info->dlpi_addr};
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

void fl_modules_know(void)
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

const struct fl_module *fl_module_of(uintptr_t pc)
{
    for (unsigned i = 0; i < module_count; i++)
        if (pc >= modules[i].start && pc < modules[i].end)
            return &modules[i];
    return NULL;
}

#if FL_LIBDW
Dwfl_Module *fl_module_dwfl(uintptr_t pc)
{
    const struct fl_module *module = dwfl ? fl_module_of(pc) : NULL;
    return module ? module->dwfl : NULL;
}
#endif
