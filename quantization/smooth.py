def smoothed(*a): raise NotImplementedError
