package masking

// What a masked value looks like, in every codec.
const (
	Blank     = "XXXXX" // what a partial rule puts in place of what it hides, as BigQuery does
	PartChars = 4       // how many characters LAST_FOUR_CHARACTERS and FIRST_FOUR_CHARACTERS show
)

// defaults holds the value of DEFAULT_MASKING_VALUE for each type, as BigQuery writes it.
var defaults = map[string]string{
	"STRING": "", "BYTES": "",
	"INT64": "0", "FLOAT64": "0", "NUMERIC": "0", "BIGNUMERIC": "0",
	"BOOL": "false",
	"DATE": "1970-01-01", "DATETIME": "1970-01-01T00:00:00", "TIME": "00:00:00", "TIMESTAMP": "1970-01-01 00:00:00",
	"GEOGRAPHY": "POINT(0 0)", "JSON": "null", "INTERVAL": "0-0 0 0:0:0", "RANGE": "[UNBOUNDED, UNBOUNDED)",
}

// Default is the value of DEFAULT_MASKING_VALUE for a scalar type by its plain name, as BigQuery
// writes it; "" for a type that is not known. It stands for every cell, NULL too, so it says
// nothing of the value. How a TIMESTAMP is written depends on the shape that the client asked for.
func Default(typ string) string { return defaults[typ] }
