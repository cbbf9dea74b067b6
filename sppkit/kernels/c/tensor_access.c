#include "tensor_access.h"

/* ---- What is used of DLPack 1.x (dmlc/dlpack, dlpack.h); torch offers it from 2.10 on */

typedef struct {
    uint32_t major, minor;
} DLPackVersion;

typedef struct {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides; /* in values */
    uint64_t byte_offset;
} DLTensor;

typedef struct {
    DLPackVersion version;
    void *previous;
    int (*allocate)(void);
    int (*export_managed)(void);
    int (*import_managed)(void);
    int (*fill)(void *tensor, DLTensor *); /* dltensor_from_py_object_no_sync */
    int (*current_stream)(void);
} DLPackExchangeTable;

enum { DLPACK_MAJOR_VERSION = 1, ON_CPU = 1, FLOAT_CODE = 2, BFLOAT_CODE = 4 };

/* ---- What is known of torch; torch is loaded once in a process, and not in subinterpreters */

static PyObject *tensor_class, *parameter_class, *get_num_threads;
static PyObject *dtypes[OTHER_PRECISION];
static const DLPackExchangeTable *table;
static PyObject *name_is_neg, *name_data_ptr, *name_shape, *name_stride, *name_dtype, *name_is_cpu,
    *name_storage_offset;

static int remember(PyObject **place, PyObject *object)
{
    PyObject *before = *place;
    *place = object;
    Py_XDECREF(before);
    return object ? 0 : -1;
}

static int intern(PyObject **place, const char *name)
{
    return remember(place, PyUnicode_InternFromString(name));
}

static int intern_names(void)
{
    return intern(&name_is_neg, "is_neg") || intern(&name_data_ptr, "data_ptr") ||
           intern(&name_shape, "shape") || intern(&name_stride, "stride") ||
           intern(&name_dtype, "dtype") || intern(&name_is_cpu, "is_cpu") ||
           intern(&name_storage_offset, "storage_offset");
}

/* The table, or NULL where this torch has none that is understood. */
static const DLPackExchangeTable *find_table(void)
{
    PyObject *capsule = PyObject_GetAttrString(tensor_class, "__dlpack_c_exchange_api__");
    const DLPackExchangeTable *found =
        capsule ? PyCapsule_GetPointer(capsule, "dlpack_exchange_api") : NULL;
    PyErr_Clear();
    Py_XDECREF(capsule); /* the table lives as long as the process */
    return found && found->version.major == DLPACK_MAJOR_VERSION && found->fill ? found : NULL;
}

int connect_to_torch(PyObject *torch, int use_table)
{
    static const char *const names[] = {"float16", "bfloat16", "float32", "float64"};
    PyObject *nn = PyObject_GetAttrString(torch, "nn");
    if (!nn)
        return -1;
    int failed = remember(&tensor_class, PyObject_GetAttrString(torch, "Tensor")) ||
                 remember(&parameter_class, PyObject_GetAttrString(nn, "Parameter")) ||
                 remember(&get_num_threads, PyObject_GetAttrString(torch, "get_num_threads")) || intern_names();
    Py_DECREF(nn);
    for (int k = 0; k < OTHER_PRECISION && !failed; ++k)
        failed = remember(&dtypes[k], PyObject_GetAttrString(torch, names[k]));
    if (failed)
        return -1;
    table = use_table ? find_table() : NULL;
    return 0;
}

int uses_table(void) { return table != NULL; }

int thread_count(void)
{
    PyObject *number = PyObject_CallObject(get_num_threads, NULL);
    const long count = number ? PyLong_AsLong(number) : -1;
    Py_XDECREF(number);
    if (count == -1 && PyErr_Occurred())
        return -1;
    return count < 1 ? 1 : (int)count;
}

/* ---- The view through torch's table: no Python object is made */

static Precision precision_of(uint8_t code, uint8_t bits, uint16_t lanes)
{
    if (lanes != 1)
        return OTHER_PRECISION;
    if (code == BFLOAT_CODE && bits == 16)
        return BFLOAT16;
    if (code != FLOAT_CODE)
        return OTHER_PRECISION;
    return bits == 16 ? FLOAT16 : bits == 32 ? FLOAT32 : bits == 64 ? FLOAT64 : OTHER_PRECISION;
}

static int view_through_table(PyObject *object, TensorView *view)
{
    DLTensor tensor;
    if (table->fill(object, &tensor) != 0)
        return -1;
    view->precision = precision_of(tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes);
    view->axes = tensor.ndim;
    view->data = (const char *)tensor.data + tensor.byte_offset;
    if (tensor.device.type != ON_CPU || view->precision == OTHER_PRECISION || tensor.ndim > MOST_AXES)
        return 0;
    for (int k = 0; k < tensor.ndim; ++k) {
        view->size[k] = tensor.shape[k];
        view->stride[k] = tensor.strides[k];
    }
    return 1;
}

/* ---- The view through methods and attributes, for a torch without a table */

static int fill_from_tuple(PyObject *tuple, int64_t *numbers, int length)
{
    for (int k = 0; k < length; ++k) {
        PyObject *item = PyTuple_GetItem(tuple, k);
        numbers[k] = item ? PyLong_AsLongLong(item) : -1;
        if (numbers[k] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

static int fill_shape_and_strides(PyObject *object, TensorView *view)
{
    PyObject *shape = PyObject_GetAttr(object, name_shape);
    PyObject *strides = shape ? PyObject_CallMethodObjArgs(object, name_stride, NULL) : NULL;
    const Py_ssize_t axes = strides ? PyTuple_Size(strides) : -1;
    int result = axes < 0 ? -1 : axes > MOST_AXES ? 0 : 1;
    view->axes = (int)axes;
    if (result == 1 && (fill_from_tuple(shape, view->size, view->axes) ||
                        fill_from_tuple(strides, view->stride, view->axes)))
        result = -1;
    Py_XDECREF(shape);
    Py_XDECREF(strides);
    return result;
}

static int is_on_cpu(PyObject *object)
{
    PyObject *answer = PyObject_GetAttr(object, name_is_cpu);
    const int on_cpu = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return on_cpu;
}

static Precision precision_of_object(PyObject *object)
{
    PyObject *dtype = PyObject_GetAttr(object, name_dtype);
    int k = 0;
    while (k < OTHER_PRECISION && dtypes[k] != dtype)
        ++k;
    Py_XDECREF(dtype);
    return k;
}

static int view_through_methods(PyObject *object, TensorView *view)
{
    const int on_cpu = is_on_cpu(object);
    view->precision = precision_of_object(object);
    if (on_cpu != 1 || view->precision == OTHER_PRECISION)
        return on_cpu < 0 ? -1 : 0;
    const int filled = fill_shape_and_strides(object, view);
    if (filled != 1)
        return filled;
    PyObject *address = PyObject_CallMethodObjArgs(object, name_data_ptr, NULL);
    view->data = address ? PyLong_AsVoidPtr(address) : NULL;
    Py_XDECREF(address);
    return PyErr_Occurred() ? -1 : 1;
}

/* ---- Both */

/* Addresses below are looked at twice; memory of most processes lies above. */
#define LOW_ADDRESS ((uintptr_t)1 << 40)

/* Where the memory of a tensor has been released, as FSDP does, its address is its offset from NULL. */
static int is_offset_from_null(PyObject *object, const TensorView *view)
{
    static const int bytes[] = {2, 2, 4, 8};
    PyObject *offset = PyObject_CallMethodObjArgs(object, name_storage_offset, NULL);
    const long long values = offset ? PyLong_AsLongLong(offset) : -1;
    Py_XDECREF(offset);
    return PyErr_Occurred() ? -1 : (uintptr_t)view->data == (uintptr_t)values * bytes[view->precision];
}

/* Whether there is memory behind the view; torch has tensors of zeros that own none. */
static int has_memory(PyObject *object, const TensorView *view)
{
    for (int k = 0; k < view->axes; ++k)
        if (view->size[k] == 0)
            return 1;
    if ((uintptr_t)view->data >= LOW_ADDRESS)
        return 1;
    const int released = is_offset_from_null(object, view);
    return released < 0 ? -1 : !released;
}

/* `x.conj().imag` is stored with the other sign. */
static int is_negated(PyObject *object)
{
    PyObject *answer = PyObject_CallMethodObjArgs(object, name_is_neg, NULL);
    const int negated = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return negated;
}

int view_tensor(PyObject *object, TensorView *view)
{
    if ((PyObject *)Py_TYPE(object) != tensor_class && (PyObject *)Py_TYPE(object) != parameter_class)
        return 0;
    int viewed = table ? view_through_table(object, view) : view_through_methods(object, view);
    if (viewed == 1)
        viewed = has_memory(object, view);
    if (viewed == 1) {
        const int negated = is_negated(object);
        viewed = negated < 0 ? -1 : !negated;
    }
    if (viewed < 0 && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear(); /* sparse, nested, batched, ... tensors raise when they are asked for an address */
        viewed = 0;
    }
    return viewed;
}
