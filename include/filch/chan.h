/* SPDX-License-Identifier: MIT */
/* Channels: values of one type from any number of senders to any number of receivers, first in, first out.
 *
 *     FILCH_CHAN_OF(ints, int);                           // at file scope: the type `ints` and its functions
 *
 *     ints *c;
 *     int r = ints_new(100, &c);                          // room for 100
 *     ...
 *     ints_send(c, 7);                                    // waits while it is full
 *     while (ints_recv(c, &i) == 0) ...                   // until it is closed and empty
 *     ints_free(c);
 *
 * Capacity 0 is a rendezvous: a send returns once a receiver has the value. FILCH_UNBOUNDED never makes a sender wait. */
#ifndef FILCH_CHAN_H
#define FILCH_CHAN_H

#include <filch/select.h>
#include <filch/version.h>

/** A channel. Opaque; from filch_chan_new to filch_chan_free. */
typedef struct filch_chan filch_chan;

#define FILCH_UNBOUNDED SIZE_MAX

/** Makes a channel.
 * @param element_size bytes of a value, at least 1 and at most 65,536
 * @param capacity values that it holds without a receiver; 0: none, FILCH_UNBOUNDED: as many as there is memory for
 * @return 0; -EINVAL element size; -ENOMEM. Context: any thread, never parks. */
FILCH_API int filch_chan_new(size_t element_size, size_t capacity, filch_chan **ret_chan);

/** Frees a channel that nobody uses any more, and the values in it. Whoever has received may do so if nobody else is to use it; a sender may not, because it
 * does not know whether the receiver will look at it again. NULL is allowed. Context: any thread, never parks. */
FILCH_API void filch_chan_free(filch_chan *chan);

/** Sends the value at `element`. What happened before is visible to the receiver.
 * @return 0; -EPIPE closed, also while waiting; -ECANCELED or -ETIMEDOUT when a scope around the call was cancelled; -ENOMEM no memory to hold it, or no stack to go
 * on with. With an error the value was not sent. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_chan_send(filch_chan *chan, const void *element);

/** Receives the oldest value into `ret_element`.
 * @param ret_element its content is undefined after an error
 * @return 0; -EPIPE closed, and everything in it was received; else as filch_chan_send: nothing was received. Context: task or any thread, parks. */
FILCH_API FILCH_PARKS int filch_chan_recv(filch_chan *chan, void *ret_element);

/** As filch_chan_send, if that needs no waiting. @return the same, or -EAGAIN. Context: task or any thread, never parks. */
FILCH_API int filch_chan_try_send(filch_chan *chan, const void *element);

/** As filch_chan_recv, if that needs no waiting. @return the same, or -EAGAIN. Context: task or any thread, never parks. */
FILCH_API int filch_chan_try_recv(filch_chan *chan, void *ret_element);

/** Closes a channel: sends fail from now on, waiting ones too; what is in it can still be received. Closing again does nothing.
 * Context: task or any thread, never parks. */
FILCH_API void filch_chan_close(filch_chan *chan);

/** How many values it holds; a hint while others use it. Context: task or any thread, never parks. */
FILCH_API size_t filch_chan_length(filch_chan *chan);

/** At file scope: a channel type `name` for values of `type`, with name_new, _free, _send, _recv, _try_send, _try_recv, _case_send, _case_recv, _close and _length. Values of another
 * type, and channels of another name, do not compile. */
#define FILCH_CHAN_OF(name, type)                                                                      \
    typedef struct name name;                                                                          \
    static inline __attribute__((unused)) int name##_new(size_t capacity, name **ret_chan_)            \
    {                                                                                                  \
        filch_chan *new_ = NULL;                                                                       \
        int r = filch_chan_new(sizeof(type), capacity, &new_);                                         \
        *ret_chan_ = (name *)new_;                                                                     \
        return r;                                                                                      \
    }                                                                                                  \
    static inline __attribute__((unused)) void name##_free(name *chan_)                                \
    {                                                                                                  \
        filch_chan_free((filch_chan *)chan_);                                                          \
    }                                                                                                  \
    static inline __attribute__((unused)) FILCH_PARKS int name##_send(name *chan_, type value_)        \
    {                                                                                                  \
        return filch_chan_send((filch_chan *)chan_, &value_);                                          \
    }                                                                                                  \
    static inline __attribute__((unused)) FILCH_PARKS int name##_recv(name *chan_, type *ret_value_)   \
    {                                                                                                  \
        return filch_chan_recv((filch_chan *)chan_, ret_value_);                                       \
    }                                                                                                  \
    static inline __attribute__((unused)) int name##_try_send(name *chan_, type value_)                \
    {                                                                                                  \
        return filch_chan_try_send((filch_chan *)chan_, &value_);                                      \
    }                                                                                                  \
    static inline __attribute__((unused)) int name##_try_recv(name *chan_, type *ret_value_)           \
    {                                                                                                  \
        return filch_chan_try_recv((filch_chan *)chan_, ret_value_);                                   \
    }                                                                                                  \
    static inline __attribute__((unused)) filch_case name##_case_send(name *chan_, const type *value_) \
    {                                                                                                  \
        return filch_case_send((filch_chan *)chan_, value_);                                           \
    }                                                                                                  \
    static inline __attribute__((unused)) filch_case name##_case_recv(name *chan_, type *ret_value_)   \
    {                                                                                                  \
        return filch_case_recv((filch_chan *)chan_, ret_value_);                                       \
    }                                                                                                  \
    static inline __attribute__((unused)) void name##_close(name *chan_)                               \
    {                                                                                                  \
        filch_chan_close((filch_chan *)chan_);                                                         \
    }                                                                                                  \
    static inline __attribute__((unused)) size_t name##_length(name *chan_)                            \
    {                                                                                                  \
        return filch_chan_length((filch_chan *)chan_);                                                 \
    }                                                                                                  \
    struct name /* so that a semicolon follows */

#endif
