def write(sweep, finished):
    return []
