# What the model stands on.
FROM $base AS foretell-base
$apt