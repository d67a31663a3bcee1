Feature: A card that is declined
  A customer whose card is declined has lost nothing, and neither has the shop.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And a customer has ordered 2 fountain pens
    And cards are being declined

  Rule: A decline takes no money, and gives the units back

    Scenario: Her card is declined
      When she pays
      Then her order has failed: payment declined
      And her card has not been charged
      And 5 fountain pens are left
      And the events of her order are: placed, payment requested, stock reserved, failed

  Rule: She may try again, as often as she likes

    Scenario: Her second card is good
      Given she has paid
      And cards are being accepted
      When she pays
      Then her order is paid
      And her card has been charged 25.00 EUR
      And 3 fountain pens are left

    Scenario: Her second card is declined, too
      Given she has paid
      When she pays
      Then her order has failed: payment declined
      And 5 fountain pens are left

  Rule: A failed order may be deleted

    Scenario: She has had enough
      Given she has paid
      When the shop deletes her order
      Then her order is gone
