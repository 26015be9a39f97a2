/* SPDX-License-Identifier: MIT */
/* Circular doubly linked list through embedded nodes. A head is a node of its own; a node not in a list points at itself. */
#ifndef FL_BASE_LIST_H
#define FL_BASE_LIST_H

#include "base/attr.h"

struct fl_list {
    struct fl_list *prev, *next;
};

FL_INLINE void fl_list_init(struct fl_list *node)
{
    node->prev = node->next = node;
}

FL_INLINE bool fl_list_empty(const struct fl_list *head)
{
    return head->next == head;
}

FL_INLINE void fl_list_append(struct fl_list *head, struct fl_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

FL_INLINE void fl_list_remove(struct fl_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    fl_list_init(node);
}

/** Moves all of `from` to the end of `to`; `from` is empty afterwards. */
FL_INLINE void fl_list_splice(struct fl_list *to, struct fl_list *from)
{
    if (fl_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    fl_list_init(from);
}

#endif
