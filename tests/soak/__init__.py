"""Whether a voice leaves something behind: a few minutes in the suite, a day by ``make soak``."""
