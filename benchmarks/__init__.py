"""How fast rose_ros is on this machine, one module per question: ``make bench``."""
