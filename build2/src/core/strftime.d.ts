/**
 * A date in Python's words, local time, English names whatever the computer's language: what chat templates ask of strftime_now.
 * A directive that is not known stays as it is.
 * @see https://docs.python.org/3/library/datetime.html#format-codes
 */
export declare function strftime(date: Date, format: string): string;
