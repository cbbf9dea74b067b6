/* What a Python tensor is made of. Needs the GIL. */

#ifndef SPPKIT_TENSOR_ACCESS_H
#define SPPKIT_TENSOR_ACCESS_H

#include <Python.h>

#include "layout.h"

/* Names the classes whose objects are read (exactly these: a subclass may mean something else by its
 * values), the module torch, and whether torch's table of C functions may be used where it has one.
 * Returns 0, or -1 with an exception. */
int connect_to_torch(PyObject *torch, int use_table);

/* Whether the table is used. */
int uses_table(void);

/* Returns 1 and fills the view; 0 for an object that is not read (another class, another device, no
 * strides, a lazy negation, too many axes); -1 with an exception. The view is valid as long as the
 * tensor is neither resized nor released. */
int view_tensor(PyObject *object, TensorView *view);

/* torch.get_num_threads(), at least 1; -1 with an exception. */
int thread_count(void);

#endif
