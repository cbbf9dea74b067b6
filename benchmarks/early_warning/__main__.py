import sys
from benchmarks.early_warning.catalogue import cases
from benchmarks.early_warning.recordings import record_all
chosen=[c for c in cases() if len(sys.argv)<3 or sys.argv[2] in c.name]
print(len(chosen), record_all(chosen, float(sys.argv[1])))
