# The list of operations that every device runs: here, and on the software GPU in ../cuda.
set(op_tests test_ops.c ops.c reference.c test_device.c test_linear.c test_attention.c test_norm.c
  test_rows.c test_rope.c test_itc.c test_patch.c test_choose.c test_best.c
  test_same.c)
list(TRANSFORM op_tests PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
