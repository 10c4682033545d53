def of(numbers):
    return sum(numbers) / len(numbers)
