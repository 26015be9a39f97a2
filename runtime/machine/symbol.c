/* SPDX-License-Identifier: MIT */
/* With libdw: the function by the module's symbol table, file and line by its debug information. Without it: the nearest dynamic symbol, by
 * the tables that the loader itself uses, so that only exported functions have a name. */
#include "machine/symbol.h"

#include "machine/module.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#if FL_LIBDW
#include <elfutils/libdw.h>
#endif

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
    Dwfl_Module *module = fl_module_dwfl(lookup);
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

void fl_symbol(uintptr_t pc, char *text, size_t size)
{
    const char *name = NULL, *file = NULL;
    uintptr_t start = 0;
    int line = 0;
    fl_modules_know();
    const struct fl_module *module = fl_module_of(pc - 1);
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
