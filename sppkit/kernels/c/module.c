/* The Python module sppkit.kernels._native: see sppkit/kernels/native.py for what it promises. */

#include <Python.h>

#include "reading.h"
#include "sharing.h"
#include "tensor_access.h"
#include "totals.h"

enum { WORTH_A_RELEASE = 1 << 16 /* values, about 10 us */ };

/* ---- Arguments */

static int arguments_are(Py_ssize_t given, Py_ssize_t expected, const char *function)
{
    if (given == expected)
        return 1;
    PyErr_Format(PyExc_TypeError, "%s takes %zd positional arguments, received %zd", function, expected, given);
    return 0;
}

/* A channel axis from the front, -1 for None and for a tensor without axes; -2 with an exception;
 * -3 for one that the tensor does not have. */
static int axis_from(PyObject *object, const TensorView *view)
{
    if (object == Py_None || view->axes == 0)
        return -1;
    const long long axis = PyLong_AsLongLong(object);
    if (axis == -1 && PyErr_Occurred())
        return -2;
    if (axis < -view->axes || axis >= view->axes)
        return -3;
    return (int)(axis < 0 ? axis + view->axes : axis);
}

static int64_t channels_of(const TensorView *view, int axis) { return axis < 0 ? 1 : view->size[axis]; }

static int refuse_axis(PyObject *tensor, PyObject *axis)
{
    PyObject *shape = PyObject_GetAttrString(tensor, "shape");
    PyObject *list = shape ? PySequence_List(shape) : NULL;
    PyObject *plain = list ? PyList_AsTuple(list) : NULL; /* torch.Size names itself in its text */
    if (plain)
        PyErr_Format(PyExc_ValueError,
                     "channel_axis=%R is not an axis of a tensor of shape %R: expected %zd to %zd, or None.", axis,
                     plain, -PyTuple_Size(plain), PyTuple_Size(plain) - 1);
    Py_XDECREF(shape);
    Py_XDECREF(list);
    Py_XDECREF(plain);
    return -1;
}

/* Whether a tensor is memory that a summary can be written to. */
static int is_writable(const TensorView *view, int axes)
{
    if (view->precision != FLOAT64 || view->axes != axes)
        return 0;
    return (view->size[axes - 1] <= 1 || view->stride[axes - 1] == 1) &&
           (axes == 1 || view->size[0] <= 1 || view->stride[0] == view->size[1]);
}

static int refuse(PyObject *object, const char *name, const char *expected)
{
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_ValueError,
                     "%s must be a contiguous float64 tensor on the CPU of shape %s, received %R", name,
                     expected, object);
    return -1;
}

/* Fill a slot from the arguments rows, column and histogram; 0, or -1 with an exception. */
static int slot_from(PyObject *const *arguments, int64_t channels, Slot *slot)
{
    TensorView rows, histogram;
    const long long column = PyLong_AsLongLong(arguments[1]);
    if (column == -1 && PyErr_Occurred())
        return -1;
    if (view_tensor(arguments[0], &rows) != 1 || !is_writable(&rows, 2))
        return refuse(arguments[0], "rows", "(7, K), or (10, K) with a histogram");
    const int extended = arguments[2] != Py_None;
    if (rows.size[0] != (extended ? ALL_ROWS : BASE_ROWS))
        return refuse(arguments[0], "rows",
                      extended ? "(10, K) with a histogram" : "(7, K) without a histogram");
    if (column < 0 || column > rows.size[1] || channels > rows.size[1] - column) {
        PyErr_Format(PyExc_ValueError,
                     "a summary of %lld channels at column %lld does not fit rows of %lld columns.",
                     (long long)channels, column, (long long)rows.size[1]);
        return -1;
    }
    *slot = (Slot){(double *)rows.data + column, NULL, rows.size[1]};
    if (!extended)
        return 0;
    if (view_tensor(arguments[2], &histogram) != 1 || !is_writable(&histogram, 1) ||
        histogram.size[0] != EXPONENTS)
        return refuse(arguments[2], "histogram", "(512,)");
    slot->histogram = (double *)histogram.data;
    return 0;
}

/* ---- Reads */

static PyObject *answer(Outcome outcome)
{
    if (outcome == OUT_OF_MEMORY)
        return PyErr_NoMemory();
    return PyBool_FromLong(outcome == WRITTEN);
}

static PyObject *read_view(const TensorView *view, int axis, Slot slot)
{
    int64_t values = 1;
    for (int k = 0; k < view->axes; ++k)
        values *= view->size[k];
    if (values < WORTH_A_RELEASE)
        return answer(read_tensor(view, axis, 1, slot));
    const int threads = values >= 2 * VALUES_PER_PART ? thread_count() : 1;
    Outcome outcome;
    if (threads < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    outcome = read_tensor(view, axis, threads, slot);
    Py_END_ALLOW_THREADS
    return answer(outcome);
}

static PyObject *read_into_rows(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    TensorView view;
    Slot slot;
    (void)module;
    if (!arguments_are(count, 5, "read"))
        return NULL;
    const int viewed = view_tensor(arguments[0], &view);
    if (viewed != 1)
        return viewed < 0 ? NULL : PyBool_FromLong(0);
    const int axis = axis_from(arguments[1], &view);
    if (axis == -3)
        refuse_axis(arguments[0], arguments[1]);
    if (axis < -1 || slot_from(arguments + 2, channels_of(&view, axis), &slot) < 0)
        return NULL;
    return read_view(&view, axis, slot);
}

static PyObject *read_at_address(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    TensorView view;
    (void)module;
    if (!arguments_are(count, 7, "read_at"))
        return NULL;
    const int viewed = view_tensor(arguments[0], &view);
    if (viewed != 1)
        return viewed < 0 ? NULL : PyBool_FromLong(0);
    const int axis = axis_from(arguments[1], &view);
    if (axis == -3)
        return PyBool_FromLong(0);
    const Slot slot = {PyLong_AsVoidPtr(arguments[2]), PyLong_AsVoidPtr(arguments[6]),
                       PyLong_AsLongLong(arguments[3])};
    const long long rows = PyLong_AsLongLong(arguments[4]), channels = PyLong_AsLongLong(arguments[5]);
    if (PyErr_Occurred())
        return NULL;
    if (rows != (slot.histogram ? ALL_ROWS : BASE_ROWS) || !slot.first_row) {
        PyErr_Format(PyExc_ValueError,
                     "read_at writes 7 rows, or 10 and a histogram: received rows=%lld, address=%R, "
                     "histogram_address=%R.",
                     rows, arguments[2], arguments[6]);
        return NULL;
    }
    if (channels_of(&view, axis) != channels)
        return PyBool_FromLong(0);
    return read_view(&view, axis, slot);
}

static PyObject *totals_at_addresses(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    if (!arguments_are(count, 5, "totals_at"))
        return NULL;
    const State summaries = {PyLong_AsVoidPtr(arguments[0]), PyLong_AsLongLong(arguments[1])};
    const int64_t *sizes = PyLong_AsVoidPtr(arguments[2]);
    const long long tensors = PyLong_AsLongLong(arguments[3]);
    double *totals = PyLong_AsVoidPtr(arguments[4]);
    if (PyErr_Occurred())
        return NULL;
    add_up(summaries, sizes, tensors, totals);
    Py_RETURN_NONE;
}

static PyObject *connect_module(PyObject *module, PyObject *arguments)
{
    PyObject *torch;
    int use_table;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "Op:connect", &torch, &use_table) || connect_to_torch(torch, use_table) < 0)
        return NULL;
    return PyBool_FromLong(uses_table());
}

static PyObject *describe(PyObject *module, PyObject *arguments)
{
    (void)module;
    (void)arguments;
    return PyUnicode_FromString(instruction_set());
}

static PyObject *choose(PyObject *module, PyObject *arguments)
{
    const char *name;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "z:choose_instruction_set", &name))
        return NULL;
    return PyBool_FromLong(choose_instruction_set(name));
}

static PyMethodDef methods[] = {
    {"read", (PyCFunction)(void (*)(void))read_into_rows, METH_FASTCALL,
     "read(tensor, channel_axis, rows, column, histogram)\n--\n\nSee sppkit.kernels.native."},
    {"read_at", (PyCFunction)(void (*)(void))read_at_address, METH_FASTCALL,
     "read_at(tensor, channel_axis, address_of_column, row_stride, rows, channels,\n"
     "histogram_address)\n--\n\n"
     "See sppkit.kernels.native."},
    {"totals_at", (PyCFunction)(void (*)(void))totals_at_addresses, METH_FASTCALL,
     "totals_at(address_of_rows, columns, address_of_sizes, tensors, address_of_totals)\n--\n\n"
     "See sppkit.kernels.native."},
    {"connect", connect_module, METH_VARARGS,
     "connect(torch, use_table)\n--\n\nTell which torch is read; return whether its table is used."},
    {"instruction_set", describe, METH_NOARGS, "instruction_set()\n--\n\nName what the reads are compiled for."},
    {"choose_instruction_set", choose, METH_VARARGS,
     "choose_instruction_set(name)\n--\n\n"
     "Use other instructions, None for the best; return whether they are there."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Channel summaries of CPU tensors in one read.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void)
{
    choose_instruction_set(NULL);
    return PyModule_Create(&definition);
}
