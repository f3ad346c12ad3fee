from sutra._c.status cimport sutra_fault

# Both return 0, or raise the exception of the status. `path` is the file concerned, or None.
cdef int check(int status, object path=*) except -1

# `what` is put before the sentence: the argument or the action concerned, or None.
cdef int check_fault(int status, const sutra_fault *fault, object path=*, object what=*) except -1
