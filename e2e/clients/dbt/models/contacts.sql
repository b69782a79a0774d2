{{ config(materialized='ephemeral') }}
SELECT id, ssn, card_number, email FROM {{ source('crm', 'customers') }}
