def bricks(header):
    return [int(brick) for brick in str(header.get("BRICKS", "")).split()]
