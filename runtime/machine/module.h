/* SPDX-License-Identifier: MIT */
/* Modules: the program and its libraries, as they are loaded now. One caller at a time. See module.c. */
#ifndef FL_MACHINE_MODULE_H
#define FL_MACHINE_MODULE_H

#include "base/attr.h"

#ifndef FL_LIBDW
#define FL_LIBDW 0
#endif

#if FL_LIBDW
#include <elfutils/libdwfl.h>
#endif

#define FL_BUILD_ID 20 /* bytes of it that are compared */

struct fl_module {
    uintptr_t start, end; /**< of its code */
    uintptr_t bias;       /**< what to add to an address in its file */
    char name[32];        /**< the last part of the path */
    char *path;
    unsigned char build_id[FL_BUILD_ID];
    size_t build_id_size; /**< 0: it has none */
#if FL_LIBDW
    Dwfl_Module *dwfl; /**< NULL: its file cannot be read, or is another one by now */
#endif
};

/** Reads the list again, if a module has come or gone since. What fl_module_of has returned before is no longer valid. */
void fl_modules_know(void);
/** @return the module whose code has this address; NULL: none that is known */
const struct fl_module *fl_module_of(uintptr_t pc);
#if FL_LIBDW
/** @return the same for libdw; NULL: it has no tables of it */
Dwfl_Module *fl_module_dwfl(uintptr_t pc);
#endif

#endif
